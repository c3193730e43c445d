"""The kinds of settings: what each is measured in, what to write, and how that is read."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from sandbox_runner import hardening
from sandbox_runner.errors import InvalidRequest
from sandbox_runner.request import parse_size

_MAX_SIZE = 1 << 53  # as far as `parse_size` is exact
_MAX_SECONDS = 1e9
_MAX_COUNT = 1 << 22
_MAX_PORT = (1 << 16) - 1
KEY_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.@-]{0,62}):sha256:([0-9a-f]{64})")
"""A key of the HTTP server as it is stored: whose it is, and the SHA-256 of its secret."""
_PATTERN = re.compile(r"(?:pip|npm):[A-Za-z0-9@*?][A-Za-z0-9@/._*?-]*")
_URL = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d{1,5})?(?:/[A-Za-z0-9._~/%+-]*)?")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a setting is: its unit as documented, what to write, and how that is read.

    ``read`` makes a value of what a file, a text or a caller gave, or raises ValueError. What cannot
    be read is shown in the error, except where it may be a ``secret``.
    """

    unit: str
    give: str
    read: Callable[[object], object]
    secret: bool = False


def _number(value: object) -> float:
    number = math.nan if isinstance(value, bool) or not isinstance(value, int | float | str) else float(value)
    if not 0 < number <= _MAX_SECONDS:
        raise ValueError(value)
    return number


def _whole(least: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        number = least - 1 if isinstance(value, bool) or not isinstance(value, int | str) else int(value)
        if not least <= number <= _MAX_COUNT:
            raise ValueError(value)
        return number

    return read


def _size(least: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        try:
            size = parse_size(value)  # type: ignore[arg-type] # it refuses other types itself
        except InvalidRequest as error:
            raise ValueError(value) from error
        if not least <= size <= _MAX_SIZE:
            raise ValueError(value)
        return size

    return read


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(value)
    return value


def _port(value: object) -> int:
    number = _whole(0)(value)
    if number > _MAX_PORT:
        raise ValueError(value)
    return number


def _keys(value: object) -> tuple[str, ...]:
    keys = _words(value)
    if not all(map(KEY_LINE.fullmatch, keys)):
        raise ValueError
    return keys


def _engine(value: object) -> str:
    if value not in ("auto", "docker", "oci"):
        raise ValueError(value)
    return str(value)


def _truth(value: object) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.lower() not in words:
        raise ValueError(value)
    return words[value.lower()]


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [word.strip() for word in value.split(",") if word.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError(value)  # noqa: TRY004 - the caller asks for ValueError alone
    return tuple(_text(word) for word in value)


def _packages(value: object) -> tuple[str, ...]:
    patterns = _words(value)
    if not all(map(_PATTERN.fullmatch, patterns)):
        raise ValueError(value)
    return patterns


def _url(value: object) -> str:
    text = _text(value)
    if not _URL.fullmatch(text):
        raise ValueError(value)
    return text.rstrip("/")


def _optional(read: Callable[[object], object]) -> Callable[[object], object]:
    return lambda value: None if value is None or value == "" else read(value)


SECONDS = Kind("seconds", "a number of seconds greater than zero", _number)
OPTIONAL_SECONDS = Kind(SECONDS.unit, SECONDS.give, _optional(_number))
CORES = Kind("cores", "a number of cores, such as 0.5 or 2", _number)
SIZE = Kind("bytes", "a number of bytes, or text such as 256m", _size(1))
MEMORY = Kind("bytes", "16m or more: a number of bytes, or text such as 256m", _size(hardening.MIN_MEMORY))
PIDS = Kind(
    "processes and threads", f"a whole number, {hardening.MIN_PIDS} or more", _whole(hardening.MIN_PIDS)
)
COUNT = Kind("count", "a whole number, 0 or more", _whole(0))
PLACES = Kind("count", "a whole number, 1 or more", _optional(_whole(1)))
NAME = Kind("name", "a name", _text)
OPTIONAL_TEXT = Kind("text", "text", _optional(_text))
WORDS = Kind("list", 'a list such as ["a", "b"]; as a variable or flag a,b', _words)
PACKAGES = Kind("list", 'patterns such as ["pip:numpy", "npm:@acme/*"]', _packages)
INDEX = Kind("address", "http(s)://HOST/PATH; a password belongs into ~/.netrc", _optional(_url))
TRUTH = Kind("true or false", "true or false", _truth)
PORT = Kind("port", "a port from 1 to 65535, or 0 for any that is free", _port)
KEYS = Kind("list", "NAME:sha256:HASH, as 'sandbox-runner http --new-key NAME' makes it", _keys, secret=True)
ENGINE = Kind("name", "auto, docker or oci", _engine)
