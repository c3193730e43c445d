"""What a trial's run left, its report parsed: it comes from a container, so nothing in it is trusted."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox_runner.result import RunResult

MAX_REPORT = 64 * 1024  # bytes
_MAX_ITEMS = 256
_MAX_TEXT = 4096


class Garbled(Exception):
    """A report that is none, or lacks what is asked of it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a trial, and its report by name, empty where the program makes none.

    ``sentry``: it ran under gVisor's kernel. ``read_back``: the engine reads the limits of the container's
    control group on its own machine, and refuses the run where they are not as they should be.

    The methods raise Garbled where the report has no such entry of that kind.
    """

    result: RunResult
    report: Mapping[str, object] = field(default_factory=dict)
    sentry: bool = False
    read_back: bool = False

    def number(self, name: str) -> int:
        """A whole number."""
        return _number(self._entry(name), name)

    def text(self, name: str) -> str:
        """A text."""
        return _text(self._entry(name), name)

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        return [_text(item, name) for item in _items(self._entry(name), name)]

    def numbers(self, name: str) -> list[int]:
        """A list of whole numbers."""
        return [_number(item, name) for item in _items(self._entry(name), name)]

    def text_by_name(self, name: str) -> dict[str, str]:
        """An object of texts."""
        return {key: _text(item, name) for key, item in _members(self._entry(name), name).items()}

    def number_by_name(self, name: str) -> dict[str, int]:
        """An object of whole numbers."""
        return {key: _number(item, name) for key, item in _members(self._entry(name), name).items()}

    def numbers_by_name(self, name: str) -> dict[str, list[int]]:
        """An object of lists of whole numbers."""
        members = _members(self._entry(name), name)
        return {key: [_number(item, name) for item in _items(each, name)] for key, each in members.items()}

    def counts_by_name(self, name: str) -> dict[str, tuple[int, str]]:
        """An object of pairs: a whole number and a text."""
        pairs = {key: _items(each, name) for key, each in _members(self._entry(name), name).items()}
        if any(len(pair) != 2 for pair in pairs.values()):
            raise Garbled(f"the program's report has something else than pairs in {name}")
        return {key: (_number(a, name), _text(b, name)) for key, (a, b) in pairs.items()}

    def _entry(self, name: str) -> object:
        if name not in self.report:
            raise Garbled(f"the program's report does not tell {name}")
        return self.report[name]


def parse_report(text: str) -> Mapping[str, object]:
    """The JSON object that is all of ``text``. Raises Garbled."""
    if len(text) > MAX_REPORT:
        raise Garbled(f"the program's report is longer than {MAX_REPORT} bytes")
    try:
        report = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Garbled("the program's report is not JSON") from error
    return _members(report, "the whole")


def _members(value: object, name: str) -> dict[str, object]:
    if not isinstance(value, dict) or len(value) > _MAX_ITEMS:
        raise Garbled(f"the program's report has no object for {name}")
    return value


def _items(value: object, name: str) -> list[object]:
    if not isinstance(value, list) or len(value) > _MAX_ITEMS:
        raise Garbled(f"the program's report has no list for {name}")
    return value


def _number(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 1 << 64:
        raise Garbled(f"the program's report has something else than a number in {name}")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise Garbled(f"the program's report has something else than a text in {name}")
    return value
