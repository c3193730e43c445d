"""The agent's channel: our end of a socket pair, and PID 1's stderr."""

import os
import socket
from contextlib import suppress

import anyio
from anyio.lowlevel import checkpoint

_CHUNK = 256 * 1024
_MESSAGES = 4096  # bytes


class PairChannel:
    """An `AgentChannel`. Closing it ends the agent."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._stderr, self._their_stderr = os.pipe()
        os.set_blocking(self._stderr, False)
        os.set_blocking(self._their_stderr, False)  # nobody reads it before something failed
        self._kept = b""
        self._rested = False  # others had their turn since the last bytes

    @property
    def stdio(self) -> tuple[int, int, int]:
        """The container's stdin, stdout and stderr."""
        return self._theirs.fileno(), self._theirs.fileno(), self._their_stderr

    @property
    def messages(self) -> bytes:
        """The first bytes that the runtime and PID 1 wrote to stderr."""
        with suppress(OSError):
            self._kept = (self._kept + os.read(self._stderr, _MESSAGES))[:_MESSAGES]
        return self._kept

    def close_theirs(self) -> None:
        """Leaves the container's end to the container, so that its death is the end of the stream."""
        self._theirs.close()
        if self._their_stderr >= 0:
            os.close(self._their_stderr)
            self._their_stderr = -1

    async def receive(self) -> bytes:
        """Some bytes, or none at the end."""
        if not self._rested:
            await checkpoint()  # a flood must not starve whoever would end it
        self._rested = False
        while True:
            try:
                return self._ours.recv(_CHUNK)
            except BlockingIOError:
                with suppress(anyio.ClosedResourceError, anyio.BusyResourceError):
                    await anyio.wait_readable(self._ours)
                self._rested = True
            except OSError:
                return b""

    async def send(self, data: bytes) -> None:
        """Sends all of ``data``; quietly nothing where the container is gone."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._ours.send(view) :]
            except BlockingIOError:
                with suppress(anyio.ClosedResourceError):
                    await anyio.wait_writable(self._ours)
            except OSError:
                return

    def close(self) -> None:
        """Closes both directions; whoever waits on the channel returns."""
        self.close_theirs()
        anyio.notify_closing(self._ours)
        self._ours.close()
        if self._stderr >= 0:
            os.close(self._stderr)
            self._stderr = -1
