"""The files of a session: each call is a command in its container, `agent/session_files.py`.

What it prints is parsed as a stranger's: other programs of the session can write into it, and could so
misreport their own files, but nothing else.
"""

import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from sandbox_runner.errors import InvalidRequest, LimitExceeded
from sandbox_runner.events import Event, Output
from sandbox_runner.files import check_destination
from sandbox_runner.request import Limits, Stdin
from sandbox_runner.result import RunResult
from sandbox_runner.spec import WORKSPACE

MAX_LISTED = 10_000
"""Entries that one call lists at most."""

_PROGRAM = ("/usr/bin/python3", "-I", "-S", "-B", "/usr/lib/sandbox-runner/agent/session_files.py")
_REFUSED = 3
_MESSAGES = 16 << 10  # bytes kept of what a command says; its answers are read as they come
_HEADER = 4096  # bytes of an answer's first line
_LINE = 4096  # bytes of a line about one entry: its name has 255, each at most 12 as JSON writes it
_KINDS = ("file", "folder", "link", "fifo", "socket", "other")
_SENTENCES = {
    "missing": "There is no {path} in the workspace; list_files shows what there is.",
    "not_a_folder": "A part of {path} is no folder; list_files shows what there is.",
    "folder": "{path} is a folder; name a file.",
    "link": "{path} is, or leads through, a link to {detail}; links are not followed: name the file itself.",
    "special": "{path} is a {detail} and no file, so it cannot be read.",
    "permission": "{path} may not be touched: its owner's permissions are off; change them with chmod first.",
    "no_space": "The workspace is full: delete files, or open a session with a larger workspace.",
    "too_long": "{path} is too long for a name.",
    "outside": "{path} leaves the workspace; give a path relative to it, without '..'.",
    "workspace": "The workspace itself cannot be deleted; name what is in it.",
    "incomplete": "Not all of {path} arrived, so nothing was written; try again.",
}
_STRANGE = (
    "What the container told of {path} makes no sense: a program of the session interferes. "
    "End that program, or open another session."
)


class Command(Protocol):
    """Runs a command in the session's container, as `Runner.stream` with ``lossless`` does."""

    def __call__(
        self, argv: Sequence[str], *, stdin: Stdin, limits: Limits
    ) -> AbstractAsyncContextManager["Following"]: ...


class Following(Protocol):
    """What a Command opens: its events, then its result."""

    def __aiter__(self) -> AsyncIterator[Event]: ...

    async def result(self) -> RunResult: ...


@dataclass(frozen=True, slots=True)
class FileInfo:
    """An entry of a folder in the workspace; a link is told of and not what it leads to.

    ``kind`` is file, folder, link, fifo, socket or other, ``size`` in bytes, ``mode`` the permission bits,
    ``modified`` Unix time in seconds. Where the name is no UTF-8 it has replacement characters.
    """

    name: str
    kind: str
    size: int
    mode: int
    modified: float


@dataclass(frozen=True, slots=True)
class Listing:
    """The ``entries`` of a folder from ``offset`` on, by name; ``total`` is how many it has."""

    entries: tuple[FileInfo, ...]
    offset: int
    total: int


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file's bytes from ``offset`` on; ``total`` is its size."""

    data: bytes
    offset: int
    total: int


async def list_files(
    command: Command, path: str = ".", *, offset: int = 0, count: int = MAX_LISTED
) -> Listing:
    """The entries of the folder ``path``. Raises InvalidRequest where it is none."""
    place = _place(path, folder=True)
    count = min(count, MAX_LISTED)
    answer = await _ask(command, place, "list", str(offset), str(count), most=_HEADER + count * _LINE)
    header, _, rest = answer.partition(b"\n")
    total = _number(_fields(header, place), "entries", place)
    entries = tuple(_info(_fields(line, place), place) for line in rest.splitlines())
    if len(entries) > count:
        raise InvalidRequest(_STRANGE.format(path=_shown(place)))
    return Listing(entries, offset, total)


async def read_file(
    command: Command, path: str, *, offset: int = 0, size: int | None = None, most: int
) -> FilePart:
    """At most ``size`` bytes of a file from ``offset`` on; None means all the rest.

    Raises InvalidRequest where there is no such file, and LimitExceeded for more than ``most`` bytes: no
    part of it is given then.
    """
    place = _place(path)
    if offset < 0 or (size is not None and size < 0):
        raise InvalidRequest("offset and size cannot be negative.")
    asked = most + 1 if size is None else size
    if size is not None and size > most:
        raise LimitExceeded(f"{size} bytes are above {most}, the most at once; read the file in parts.")
    answer = await _ask(command, place, "read", str(offset), str(asked), most=_HEADER + asked)
    header, _, data = answer.partition(b"\n")
    total = _number(_fields(header, place), "size", place)
    if len(data) > asked:
        raise InvalidRequest(_STRANGE.format(path=_shown(place)))
    if len(data) > most:
        raise LimitExceeded(
            f"{_shown(place)} has {total} bytes, above {most}, the most at once; read it in parts, with "
            "offset and size."
        )
    return FilePart(data, offset, total)


async def write_file(command: Command, path: str, data: bytes, *, mode: int = 0o644, most: int) -> None:
    """Writes a file, in place of one that is there; folders are made.

    Raises InvalidRequest where it cannot be there, LimitExceeded for more than ``most`` bytes.
    """
    place = _place(path)
    if len(data) > most:
        raise LimitExceeded(f"The file has {len(data)} bytes; the ceiling max_file_bytes is {most}.")
    if not 0 <= mode <= 0o777:
        raise InvalidRequest(f"Mode {mode:o} of {_shown(place)} is not between 0 and 777.")
    answer = await _ask(command, place, "write", f"{mode:o}", str(len(data)), stdin=data, most=_HEADER)
    if _number(_fields(answer.strip(), place), "size", place) != len(data):
        raise InvalidRequest(_STRANGE.format(path=_shown(place)))


async def delete_file(command: Command, path: str) -> None:
    """Deletes a file, a link, or a folder with all in it. Raises InvalidRequest where there is none."""
    place = _place(path, folder=True)
    await _ask(command, place, "delete", most=_HEADER)


async def pack(command: Command, *, most: int) -> AsyncGenerator[bytes, None]:
    """The workspace as a compressed tar, in pieces. Raises LimitExceeded above ``most`` bytes."""
    async with command([*_PROGRAM, "pack"], stdin=b"", limits=_limits(most)) as run:
        async for event in run:
            if isinstance(event, Output) and event.stream == "stdout":
                yield event.data
        result = await run.result()
    if result.status == "output_limit":
        raise LimitExceeded(
            f"The workspace, compressed, is above the ceiling max_snapshot of {most} bytes; delete files."
        )
    _check(result, WORKSPACE)


async def unpack(command: Command, packed: Stdin) -> None:
    """Puts what `pack` gave into the workspace. Raises InvalidRequest where it does not fit."""
    async with command([*_PROGRAM, "unpack"], stdin=packed, limits=_limits(_HEADER)) as run:
        result = await run.result()
    _check(result, WORKSPACE)


async def _ask(
    command: Command, place: str, operation: str, *arguments: str, stdin: bytes = b"", most: int
) -> bytes:
    """What an operation on ``place`` prints, ``most`` bytes of it. Raises InvalidRequest where it refuses."""
    printed = bytearray()
    argv = [*_PROGRAM, operation, place, *arguments]
    async with command(argv, stdin=stdin, limits=_limits(most)) as run:
        async for event in run:
            if isinstance(event, Output) and event.stream == "stdout":
                printed += event.data
        result = await run.result()
    _check(result, place)
    return bytes(printed)


def _limits(output: int) -> Limits:
    return Limits(output=output + _MESSAGES, capture=_MESSAGES)


def _check(result: RunResult, place: str) -> None:
    """Raises InvalidRequest, saying why, unless the operation succeeded."""
    if result.ok:
        return
    if result.status != "exited" or result.exit_code != _REFUSED:
        said = result.status if result.exit_code is None else f"exit code {result.exit_code}"
        raise InvalidRequest(
            f"The container could not do that to {_shown(place)}: {said} {result.reason}".strip()
        )
    refusal = _fields(result.stderr.encode().strip(), place)
    detail = str(refusal.get("detail", ""))[:400]
    sentence = _SENTENCES.get(str(refusal.get("error")), "That cannot be done to {path}: {detail}")
    raise InvalidRequest(sentence.format(path=_shown(place), detail=detail))


def _place(path: str, *, folder: bool = False) -> str:
    """``path`` relative to the workspace. Raises InvalidRequest where it leaves that."""
    if path == WORKSPACE or path.startswith(f"{WORKSPACE}/"):
        path = path[len(WORKSPACE) + 1 :]
    if folder:
        path = path.rstrip("/") if path != "/" else path
        if path in ("", "."):
            return "."
    check_destination(path)
    return path


def _shown(path: str) -> str:
    return repr(path if len(path) <= 100 else f"{path[:100]}…")


def _fields(line: bytes, place: str) -> Mapping[str, Any]:
    try:
        fields = json.loads(line[:_LINE])
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise InvalidRequest(_STRANGE.format(path=_shown(place)))
    return fields


def _number(fields: Mapping[str, Any], name: str, place: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise InvalidRequest(_STRANGE.format(path=_shown(place)))
    return value


def _info(fields: Mapping[str, Any], place: str) -> FileInfo:
    name, kind, modified = fields.get("name"), fields.get("kind"), fields.get("modified")
    # A program that receives the list may join a name to a path of its own.
    named = isinstance(name, str) and 0 < len(name) <= 255 and name not in (".", "..")
    sensible = named and not {"/", "\0"}.intersection(str(name)) and kind in _KINDS
    if not sensible or not isinstance(modified, int | float) or not math.isfinite(modified):
        raise InvalidRequest(_STRANGE.format(path=_shown(place)))
    mode = _number(fields, "mode", place) & 0o7777
    size = _number(fields, "size", place)
    return FileInfo(str(name), str(kind), size, mode, float(modified))
