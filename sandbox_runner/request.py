"""What a caller asks for. Nothing here is trusted or defaulted; `policy.admit` decides.

Sizes are bytes; strings such as ``"256m"`` mean binary multiples (k, m, g, t = 2**10 …),
as `docker run --memory` reads them. Times are seconds.
"""

import math
import re
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox_runner.errors import InvalidRequest

_SIZE = re.compile(r"\s*(\d{1,18}(?:\.\d{1,6})?)\s*([kmgt]?)(?:i?b)?\s*", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}

Stdin = bytes | str | AsyncIterable[bytes]


def parse_size(value: int | str, *, name: str = "size") -> int:
    """Bytes meant by ``value``: an int, or text such as ``512m`` or ``1.5g``.

    Raises InvalidRequest where it is neither, or negative.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidRequest(f"{name} must be a number of bytes or text such as 256m, not {value!r}.")
    if isinstance(value, int):
        if value < 0:
            raise InvalidRequest(f"{name} cannot be negative; {value} was given.")
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        raise InvalidRequest(f"{name} must be a number of bytes or text such as 256m, not {value!r}.")
    return int(float(match[1]) * 1024 ** _POWER[match[2].lower()])


def format_size(size: int) -> str:
    """``size`` in bytes as `parse_size` reads it, in the largest unit that divides it."""
    for power, letter in ((40, "t"), (30, "g"), (20, "m"), (10, "k")):
        if size and size % (1 << power) == 0:
            return f"{size >> power}{letter}"
    return str(size)


def _positive(value: float | None, name: str) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidRequest(f"{name} must be a finite number, not {value!r}.")
    if value <= 0:
        raise InvalidRequest(f"{name} must be greater than zero; {value} was given.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits wanted for one run; a field left at None takes the policy's default.

    ``wall_time`` and ``cpu_time`` are seconds; ``memory``, ``workspace``, ``tmp``,
    ``capture`` (kept per stream) and ``output`` (hard cap, both streams) are bytes;
    ``cpus`` is a number of cores, ``pids`` a number of processes and threads.
    A compiler has ``compile_time`` and ``compile_memory`` in place of the program's; the rest holds both.

    Raises InvalidRequest for a value that is not a positive, finite number.
    """

    wall_time: float | None = None
    cpu_time: float | None = None
    memory: int | str | None = None
    cpus: float | None = None
    pids: int | None = None
    workspace: int | str | None = None
    tmp: int | str | None = None
    capture: int | str | None = None
    output: int | str | None = None
    compile_time: float | None = None
    compile_memory: int | str | None = None

    def __post_init__(self) -> None:
        for name in ("wall_time", "cpu_time", "cpus", "pids", "compile_time"):
            _positive(getattr(self, name), name)
        if isinstance(self.pids, float):
            raise InvalidRequest(f"pids must be a whole number, not {self.pids!r}.")
        for name in ("memory", "workspace", "tmp", "capture", "output", "compile_memory"):
            value = getattr(self, name)
            if value is not None and parse_size(value, name=name) == 0:
                raise InvalidRequest(f"{name} must be greater than zero.")


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file for the workspace: ``path`` relative to it, ``data``, and permission bits."""

    path: str
    data: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One program to run: ``code`` in a ``language``, or a ``command`` (an argument vector).

    An empty command with an ``image`` that has no agent of ours is the image's own.

    ``stdin`` is bytes, text, or an async iterable of bytes that is sent as it arrives.
    ``image`` runs in another image than the language's; ``profile`` names a seccomp
    profile. ``packages`` are requirements, such as ``numpy>=2``, for the language's installer.
    ``artifacts`` are patterns of the paths of files to give back, of those that the program
    made or altered: ``*`` is any text and ``?`` any character within a name, ``**`` any number of folders.
    ``out`` is a folder of this machine to write them to, made where it is not there; it means all files
    (``**``) unless ``artifacts`` says which. With a ``value`` the code's function ``execute`` is
    called with it: JSON, handed over on a channel of its own. With ``display`` the value of the code's
    last expression, and what it passes to `display()`, come back as a notebook would show them.
    What is asked is checked by `policy.admit`, which raises RequestRejected.
    """

    language: str | None = None
    code: str | None = None
    command: Sequence[str] | None = None
    args: Sequence[str] = ()
    stdin: Stdin = b""
    env: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[InputFile] = ()
    limits: Limits = Limits()
    image: str | None = None
    profile: str | None = None
    artifacts: Sequence[str] = ()
    out: Path | None = None
    value: bytes | None = None
    display: bool = False
    packages: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. The command line, stdio and the Python API act for the local user."""

    id: str


LOCAL_USER = Principal("local")
