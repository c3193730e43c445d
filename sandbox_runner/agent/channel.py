"""The frames from and to the host, on descriptors 0 and 1."""

import posix
import select

from .protocol import HEADER, Splitter

_CHUNK = 1 << 16
_LAST_WORDS = 1  # seconds for a host that reads no more


class Channel:
    """Never blocks. What the host does not take yet is kept: ask `clear` before much is sent.

    EOFError means that the host is gone.
    """

    __slots__ = ("_splitter", "_unsent")

    def __init__(self) -> None:
        self._splitter = Splitter()
        self._unsent = bytearray()
        posix.set_blocking(0, False)
        posix.set_blocking(1, False)

    @property
    def clear(self) -> bool:
        """Whether all that was sent has left."""
        return not self._unsent

    def receive(self) -> list[tuple[int, int, bytes]]:
        """The frames that have become complete. Raises EOFError, and ProtocolError."""
        try:
            data = posix.read(0, _CHUNK)
        except BlockingIOError:
            return []
        if not data:
            raise EOFError("the host is gone")
        return self._splitter.feed(data)

    def send(self, kind: int, job: int, payload: bytes | memoryview = b"") -> None:
        """Sends a frame, or keeps what does not leave at once. Raises EOFError."""
        header = HEADER.pack(kind, 0, job, len(payload))
        sent = 0 if self._unsent else _attempt([header, payload])
        if sent < len(header):
            self._unsent += header[sent:]
            sent = len(header)
        if sent < len(header) + len(payload):
            self._unsent += payload[sent - len(header) :]

    def flush(self) -> None:
        """Sends what was kept, as far as the host takes it. Raises EOFError."""
        sent = _attempt([self._unsent])
        del self._unsent[:sent]

    def finish(self) -> None:
        """Sends what was kept, with a last patience for the host. Raises EOFError."""
        while self._unsent and select.select((), (1,), (), _LAST_WORDS)[1]:
            self.flush()


def _attempt(buffers: list[bytes | bytearray | memoryview]) -> int:
    try:
        return posix.writev(1, buffers)
    except BlockingIOError:
        return 0
    except OSError as error:
        raise EOFError("the host is gone") from error
