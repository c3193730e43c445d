"""Docker's multiplexed stream: an 8-byte header (stream type, three zeros, u32 length), then the bytes.

https://docs.docker.com/reference/api/engine/version/v1.41/#operation/ContainerAttach. What is in
the payload is hostile; that it cannot forge a header rests on the container having no TTY.
"""

from struct import Struct

from sandbox_runner.engines.agent_lane import ChannelEnded
from sandbox_runner.engines.docker.channel import Channel
from sandbox_runner.events import Stream

_HEADER = Struct(">BxxxI")
_MAX_LENGTH = 1 << 24
_STREAMS = (None, "stdout", "stderr")
_MESSAGES = 4096  # bytes of PID 1's own stderr kept for an error


class DemuxError(Exception):
    """The stream is not in Docker's format."""


class Demux:
    """Splits the stream; payloads are passed on as they come, also where a frame is not complete.

    >>> Demux().feed(b"\\1\\0\\0\\0\\0\\0\\0\\2hi")
    [('stdout', b'hi')]
    """

    def __init__(self) -> None:
        self._header = bytearray()
        self._left = 0
        self._stream = "stdout"

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """The pieces in ``data`` as (stream, bytes). Raises DemuxError."""
        view = memoryview(data)
        pieces = []
        while view:
            if self._left:
                piece = view[: self._left]
                pieces.append((self._stream, bytes(piece)))
                self._left -= len(piece)
                view = view[len(piece) :]
            else:
                view = self._take_header(view)
        return pieces

    def _take_header(self, view: memoryview) -> memoryview:
        missing = _HEADER.size - len(self._header)
        self._header += view[:missing]
        if len(self._header) == _HEADER.size:
            kind, self._left = _HEADER.unpack(self._header)
            if kind not in (1, 2) or any(self._header[1:4]) or self._left > _MAX_LENGTH:
                raise DemuxError(f"bad stream header {bytes(self._header).hex()}")
            self._stream = str(_STREAMS[kind])
            self._header.clear()
        return view[missing:]


class DemuxedChannel:
    """The agent's channel out of an attached container's: its stdout; stderr is kept as messages."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._demux = Demux()
        self.messages = b""

    async def receive(self) -> bytes:
        """Some bytes, or none at the end. Raises ChannelEnded where the stream is not in Docker's format."""
        while data := await self._channel.receive():
            try:
                pieces = self._demux.feed(data)
            except DemuxError as error:
                raise ChannelEnded(str(error)) from error
            self.messages = b"".join((self.messages, *_of(pieces, "stderr")))[-_MESSAGES:]
            if output := b"".join(_of(pieces, "stdout")):
                return output
        return b""

    async def send(self, data: bytes) -> None:
        """Sends all of ``data``."""
        await self._channel.send(data)


class DemuxedStreams:
    """A foreign program's `Streams`, out of an attached container's."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._demux = Demux()

    async def receive(self) -> list[tuple[Stream, bytes]]:
        """Some output, or none at the end. Raises ChannelEnded as `DemuxedChannel.receive`."""
        while data := await self._channel.receive():
            try:
                pieces = self._demux.feed(data)
            except DemuxError as error:
                raise ChannelEnded(str(error)) from error
            if pieces:  # there may have been no more than a header
                return [("stderr" if name == "stderr" else "stdout", piece) for name, piece in pieces]
        return []

    async def send(self, data: bytes) -> None:
        """Sends all of ``data``."""
        await self._channel.send(data)

    async def end_input(self) -> None:
        """Half-closes the channel, where what carries it can."""
        await self._channel.end_input()


def _of(pieces: list[tuple[str, bytes]], stream: str) -> list[bytes]:
    return [piece for name, piece in pieces if name == stream]
