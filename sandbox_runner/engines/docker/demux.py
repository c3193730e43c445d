"""Docker's multiplexed stream: an 8-byte header (stream type, three zeros, u32 length), then the bytes.

https://docs.docker.com/reference/api/engine/version/v1.41/#operation/ContainerAttach. What is in
the payload is hostile; that it cannot forge a header rests on the container having no TTY.
"""

from struct import Struct

_HEADER = Struct(">BxxxI")
_MAX_LENGTH = 1 << 24
_STREAMS = (None, "stdout", "stderr")


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
