"""A foreign program's stdin, stdout and stderr: three pipes."""

import os
import select
from contextlib import suppress

import anyio
from anyio.lowlevel import checkpoint

from sandbox_runner.events import Stream

_CHUNK = 256 * 1024


class Pipes:
    """A foreign program's `Streams`, our ends; ``theirs`` are the program's stdin, stdout and stderr."""

    def __init__(self) -> None:
        their_stdin, self._stdin = os.pipe()
        stdout, their_stdout = os.pipe()
        stderr, their_stderr = os.pipe()
        self.theirs: tuple[int, ...] = (their_stdin, their_stdout, their_stderr)
        self._open: dict[int, Stream] = {stdout: "stdout", stderr: "stderr"}
        self._news = select.epoll()  # one descriptor that tells of both
        for descriptor in self._open:
            self._news.register(descriptor, select.EPOLLIN)
        for descriptor in (self._stdin, *self._open):
            os.set_blocking(descriptor, False)

    def close_theirs(self) -> None:
        """Leaves the container's ends to the container, so that its death is the end of the streams."""
        for descriptor in self.theirs:
            os.close(descriptor)
        self.theirs = ()

    async def receive(self) -> list[tuple[Stream, bytes]]:
        """Some output, or none at the end of both streams."""
        await checkpoint()  # a flood must not starve whoever would end it
        while self._open:
            if output := self._take():
                return output
            if self._open:
                with suppress(anyio.ClosedResourceError, anyio.BusyResourceError):
                    await anyio.wait_readable(self._news.fileno())
        return []

    async def send(self, data: bytes) -> None:
        """Sends all of ``data``; quietly nothing where nobody reads it any more."""
        view = memoryview(data)
        while view and self._stdin >= 0:
            try:
                view = view[os.write(self._stdin, view) :]
            except BlockingIOError:
                with suppress(anyio.ClosedResourceError):
                    await anyio.wait_writable(self._stdin)
            except OSError:
                return

    async def end_input(self) -> None:
        """Ends stdin."""
        self._close_stdin()

    def close(self) -> None:
        """Closes all of it. Harmless to repeat."""
        self.close_theirs()
        self._close_stdin()
        for descriptor in list(self._open):
            self._shut(descriptor)
        if not self._news.closed:
            self._news.close()

    def _take(self) -> list[tuple[Stream, bytes]]:
        output: list[tuple[Stream, bytes]] = []
        for descriptor, stream in list(self._open.items()):
            try:
                data = os.read(descriptor, _CHUNK)
            except BlockingIOError:
                continue
            if data:
                output.append((stream, data))
            else:
                self._shut(descriptor)
        return output

    def _shut(self, descriptor: int) -> None:
        self._news.unregister(descriptor)
        del self._open[descriptor]
        os.close(descriptor)

    def _close_stdin(self) -> None:
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1
