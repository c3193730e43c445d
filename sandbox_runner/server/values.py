"""JSON values to and from a function in a sandbox. What comes back is hostile until it is parsed here."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sandbox_runner.errors import InvalidRequest

MAX_VALUE = 1 << 20  # bytes, in either direction
MAX_DEPTH = 128  # levels: JSON parsers of clients stop at some 200, and a message has a few of its own


@dataclass(frozen=True, slots=True)
class Returned:
    """``value`` of a function, or the ``problem`` with what it returned."""

    value: Any = None
    problem: str | None = None


def encode_value(value: object) -> bytes:
    """``value`` for the value channel. Raises InvalidRequest where it is no JSON, or too large."""
    try:
        data = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # UnicodeEncodeError is one
        raise InvalidRequest("The input is not JSON that can be sent; its numbers must be finite.") from None
    if len(data) > MAX_VALUE:
        raise InvalidRequest(f"The input has {len(data)} bytes of JSON, above {MAX_VALUE}; pass it in files.")
    return data


def decode_value(data: bytes) -> Returned:
    """What a function returned."""
    if len(data) > MAX_VALUE:
        return Returned(problem=f"What it returned has {len(data)} bytes, more than {MAX_VALUE}.")
    try:
        value = json.loads(data)
        # What JSON's grammar allows and no client can take: lone surrogates, numbers without end.
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return Returned(problem="What it returned is not JSON that can be passed on.")
    if not _within_depth(value):
        return Returned(problem=f"What it returned is nested more than {MAX_DEPTH} levels deep; flatten it.")
    return Returned(value)


def _within_depth(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [each for outer in level for each in _members(outer)]
        if not level:
            return True
    return False


def _members(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
