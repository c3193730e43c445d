"""The value channel: what a function is called with, and what it returns. Two files in memory.

Files and not pipes: nobody has to pump them, and what was written is there when all processes are gone.
"""

import posix

from .protocol import MAX_RETURNED, MAX_VALUE, ProtocolError

GIVEN, RETURNED = 3, 4  # the program's descriptors; ours are others, as PID 1 holds these two from its start
_NAME = "value"
_NOEXEC_SEAL = 8  # MFD_NOEXEC_SEAL, which a host can demand (vm.memfd_noexec)


class Value:
    """The value channel of one job; the descriptors are -1 where it has none."""

    __slots__ = ("_size", "given", "returned")

    def __init__(self) -> None:
        self.given = self.returned = -1
        self._size = 0

    def take(self, data: bytes) -> None:
        """Appends ``data`` to what the program finds. Raises OSError, and ProtocolError beyond the cap."""
        if self._size + len(data) > MAX_VALUE:
            raise ProtocolError("a value that is too long")
        if self.given < 0:
            self.given, self.returned = _file(), _file()
        while data:
            count = posix.pwrite(self.given, data, self._size)  # the program's reading starts at the front
            self._size += count
            data = data[count:]

    def descriptors(self) -> list[tuple[int, int]]:
        """Our descriptors, each with the number that the program knows it by."""
        return [] if self.given < 0 else [(self.given, GIVEN), (self.returned, RETURNED)]

    def take_out(self) -> bytes:
        """All that was appended; then there is no value any more."""
        data = posix.pread(self.given, self._size, 0) if self.given >= 0 else b""
        self.close()
        return data

    def size(self) -> int:
        """Bytes that the program gave back, or 0 where it gave more than is allowed."""
        size = 0 if self.returned < 0 else posix.fstat(self.returned).st_size
        return size if size <= MAX_RETURNED else 0

    def close(self) -> None:
        """Frees the memory, once nobody else holds it."""
        for descriptor, _ in self.descriptors():
            posix.close(descriptor)
        self.given = self.returned = -1


def _file() -> int:
    try:
        return posix.memfd_create(_NAME, posix.MFD_CLOEXEC | _NOEXEC_SEAL)
    except OSError:  # Linux before 6.3 does not know it
        return posix.memfd_create(_NAME, posix.MFD_CLOEXEC)
