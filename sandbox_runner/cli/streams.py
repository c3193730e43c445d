"""The bytes of this process's own stdin, stdout and stderr, to and from a run."""

import os
import select
import stat
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TextIO

from sandbox_runner.cli.exits import say
from sandbox_runner.cli.lane import Lane
from sandbox_runner.errors import InvalidRequest

if TYPE_CHECKING:
    from sandbox_runner.events import Stream

_CHUNK = 64 * 1024


def piped_stdin() -> int | None:
    """The descriptor of our stdin where it is a pipe, a socket or a file; None for a terminal or nothing.

    One that a parent left open without ever writing to it is a pipe too. That costs
    nothing: it is read only as the program reads, and a program that ends is not waited for.
    """
    if sys.stdin is None:
        return None
    try:
        descriptor = sys.stdin.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError):
        return None
    return descriptor if stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode) else None


def open_stdin(source: str) -> int:
    """The descriptor for ``--stdin``: our own stdin for ``-``, else the file. Raises InvalidRequest."""
    if source == "-":
        if sys.stdin is None:
            raise InvalidRequest("--stdin - was given, but stdin is closed; give a file.")
        return sys.stdin.fileno()
    try:
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise InvalidRequest(f"--stdin {source} cannot be read ({error.strerror}); check the path.") from None
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise InvalidRequest(f"--stdin {source} is a directory; give a file.")
    return descriptor


async def read_chunks(descriptor: int) -> AsyncIterator[bytes]:
    """What can be read from ``descriptor``, as it arrives, one read for each piece that is asked for."""
    lane = Lane("stdin")
    try:
        while data := await lane.call(lambda: _read(descriptor)):
            yield data
    except OSError as error:
        say(f"stdin cannot be read ({error.strerror}); the program got what came before.")


class Terminal:
    """Our stdout and stderr, written to as bytes and at once. What is closed is left out."""

    def __init__(self) -> None:
        self._lane = Lane("output")
        messages = _descriptor(sys.stderr)
        self._descriptors = {"stdout": _descriptor(sys.stdout), "stderr": messages, "compiler": messages}

    async def write(self, stream: "Stream", data: bytes) -> None:
        """Returns when all of ``data`` is written. Raises OSError where no more is taken."""
        descriptor = self._descriptors[stream]
        if descriptor is not None:
            await self._lane.call(lambda: _write(descriptor, data))


def _descriptor(stream: TextIO | None) -> int | None:
    if stream is None:
        return None
    stream.flush()
    return stream.fileno()


# Whoever started us may have made the descriptors non-blocking, as Node.js does with pipes.


def _read(descriptor: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, _CHUNK)
        except BlockingIOError:
            select.select([descriptor], [], [])


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
