"""The messages of `programs/install.py`, cut out of what it prints; all of them are untrusted."""

from struct import Struct

HEADER = Struct(">BII")
GET, LINE, FILE, DATA, REPORT = range(1, 6)
STATUS, BODY = 1, 2
STATUS_BODY = Struct(">HQ")
FILE_BODY = Struct(">BQ")
UNKNOWN = (1 << 64) - 1
_MAX_PAYLOAD = 1 << 20


class Nonsense(Exception):
    """What arrived is no message."""


class Messages:
    """Cuts a byte stream into messages. Holds less than one between calls."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Those that ``data`` completes, as (kind, number, payload). Raises Nonsense."""
        self._buffer += data
        messages = []
        position = 0
        while len(self._buffer) - position >= HEADER.size:
            kind, number, length = HEADER.unpack_from(self._buffer, position)
            if not GET <= kind <= REPORT or length > _MAX_PAYLOAD:
                raise Nonsense(f"a message of the kind {kind} with {length} bytes")
            start = position + HEADER.size
            if len(self._buffer) < start + length:
                break
            messages.append((kind, number, bytes(self._buffer[start : start + length])))
            position = start + length
        del self._buffer[:position]
        return messages


def message(kind: int, number: int, payload: bytes = b"") -> bytes:
    """One message, ready to be sent."""
    return HEADER.pack(kind, number, len(payload)) + payload
