"""JSON edited as text: only the member that changes is written, all else stays byte for byte.

With comments (JSONC, as VS Code's) they are blanked out for reading, which moves nothing.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Never

from sandbox_runner.clients.reasons import Unsuitable

_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\r\n]*|/\*.*?\*/', re.DOTALL)
_LAST_COMMA = re.compile(r'"(?:\\.|[^"\\])*"|,(?=\s*[}\]])')
_SPACE = re.compile(r"\s*")
_INDENTED = re.compile(r'^([ \t]+)"', re.MULTILINE)


def _refused(word: str) -> Never:
    raise Unsuitable(f"is not JSON ({word} is no value in it)")


_DECODER = json.JSONDecoder(parse_constant=_refused)


@dataclass(frozen=True, slots=True)
class _Member:
    start: int
    value: int
    end: int


@dataclass(frozen=True, slots=True)
class _Object:
    """An object within a text: where its braces and its members are."""

    open: int
    close: int
    members: Mapping[str, _Member]


@dataclass(frozen=True, slots=True)
class JsonText:
    """The language of a client that reads JSON, with ``comments`` or strictly."""

    comments: bool

    def load(self, text: str) -> Any:  # noqa: ANN401 - whatever the file holds
        """Raises Unsuitable where ``text`` is not JSON."""
        try:
            return _DECODER.decode(self._plain(text))
        except json.JSONDecodeError as error:
            raise Unsuitable(f"is not JSON ({error.msg} in line {error.lineno})") from None
        except (ValueError, RecursionError):  # a number of thousands of digits, a thousand brackets
            raise Unsuitable("holds JSON beyond all measure") from None

    def put(self, text: str, key: str, name: str, entry: Mapping[str, Any]) -> str:
        """``text`` with the member ``name`` in the object ``key``, both made where they are missing."""
        if text.strip() in ("", "{}"):
            return json.dumps({key: {name: entry}}, indent=2, ensure_ascii=False) + "\n"
        plain = self._plain(text)
        root = _object(plain, _after_space(plain, 0))
        if key not in root.members:
            return self._inserted(text, root, key, {name: entry})
        servers = _object(plain, root.members[key].value)
        if name not in servers.members:
            return self._inserted(text, servers, name, entry)
        member = servers.members[name]
        self._keep_comments(text, member.value, member.end)
        value = _rendered(entry, text, _indent_at(text, member.start))
        return text[: member.value] + value + text[member.end :]

    def drop(self, text: str, key: str, name: str) -> str:
        """``text`` without the member ``name`` of the object ``key``."""
        plain = self._plain(text)
        servers = _object(plain, _object(plain, _after_space(plain, 0)).members[key].value)
        member = servers.members[name]
        later = [each.start for each in servers.members.values() if each.start > member.start]
        earlier = [each.end for each in servers.members.values() if each.start < member.start]
        if later:
            start, end = member.start, min(later)
        else:
            start, end = (max(earlier), member.end) if earlier else (servers.open + 1, servers.close)
        self._keep_comments(text, start, end)
        return text[:start] + text[end:]

    def _plain(self, text: str) -> str:
        return _LAST_COMMA.sub(_blank, _COMMENT.sub(_blank, text)) if self.comments else text

    def _keep_comments(self, text: str, start: int, end: int) -> None:
        if self.comments and _COMMENT.sub(_blank, text)[start:end] != text[start:end]:
            raise Unsuitable("has comments at this server, which an edit would lose")

    def _inserted(self, text: str, into: _Object, key: str, value: Mapping[str, Any]) -> str:
        last = max(into.members.values(), key=lambda member: member.end, default=None)
        end = last.end if last else into.open + 1
        rest = text[end : into.close]
        has_comma = self.comments and "," in _COMMENT.sub(_blank, rest)
        head = text[:end] + ("," if last and not has_comma else "")
        after = "," if has_comma else ""
        if "\n" not in (text[into.open : into.close] if last else text.strip()):
            space = " " if last else ""
            return f"{head}{rest.rstrip()}{space}{_dumps(key)}: {_dumps(value)}{after}{text[into.close :]}"
        line, outer = _line_end(text), _indent_at(text, into.open)
        inner = _indent_at(text, last.start) if last else ""
        inner = inner if len(inner) > len(outer) else outer + _unit(text)
        member = f"{inner}{_dumps(key)}: {_rendered(value, text, inner)}"
        return f"{head}{rest.rstrip()}{line}{member}{after}{line}{outer}{text[into.close :]}"


def _blank(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith('"') else re.sub(r"[^\r\n]", " ", match[0])


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match
    return match.end()


def _object(text: str, at: int) -> _Object:
    """The object that begins at ``at``; of several members of one name the last counts, as for a reader."""
    members: dict[str, _Member] = {}
    opened, at = at, _after_space(text, at + 1)
    while text[at] != "}":
        start = at
        key, at = _DECODER.raw_decode(text, at)
        value = _after_space(text, _after_space(text, at) + 1)
        _, end = _DECODER.raw_decode(text, value)
        members[key] = _Member(start, value, end)
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)
    return _Object(opened, at, members)


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _rendered(value: Mapping[str, Any], text: str, indent: str) -> str:
    if "\n" not in text.strip():
        return _dumps(value)
    lines = json.dumps(value, indent=_unit(text), ensure_ascii=False).split("\n")
    return (_line_end(text) + indent).join(lines)


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _unit(text: str) -> str:
    found = _INDENTED.search(text)
    return found[1] if found else "  "


def _indent_at(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip())]
