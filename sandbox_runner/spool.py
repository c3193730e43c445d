"""Output of many runs, kept for later reading within one bound.

Small output stays in memory, more goes to an unlinked temporary file: whatever becomes of this
process, nothing is left on the disk.
"""

import tempfile
from collections import OrderedDict
from typing import IO

from sandbox_runner.events import STREAMS, Artifact, Stream

_IN_MEMORY = 1 << 16  # bytes of a stream that are kept without a file


class _Bytes:
    """Bytes that grow at their end, in memory and then in a file."""

    def __init__(self) -> None:
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self.size = 0

    def append(self, data: bytes) -> None:
        """Raises OSError, and nothing is changed, where there is no place for ``data``."""
        if self._file is None and self.size + len(data) > _IN_MEMORY:
            file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by close
            try:
                _write(file, self._memory, 0)
            except OSError:
                file.close()
                raise
            self._file, self._memory = file, bytearray()
        if self._file is None:
            self._memory += data
        else:
            _write(self._file, data, self.size)
        self.size += len(data)

    def read(self, offset: int, size: int) -> bytes:
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        if self._file is None:
            return bytes(self._memory[offset : offset + size])
        self._file.seek(offset)
        return self._file.read(size)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _write(file: IO[bytes], data: bytes | bytearray, position: int) -> None:
    file.seek(position)
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


class Record:
    """One run's output. Made by `Spool.record`."""

    def __init__(self, spool: "Spool") -> None:
        self._spool = spool
        self._kept: dict[Stream, _Bytes] = {stream: _Bytes() for stream in STREAMS}
        self._totals: dict[Stream, int] = dict.fromkeys(STREAMS, 0)
        self._attached: tuple[Artifact, ...] = ()
        self.discarded = False

    def append(self, stream: Stream, data: bytes) -> None:
        """Adds ``data``; where the spool has no room left it is counted and not kept."""
        contiguous = self._kept[stream].size == self._totals[stream]
        self._totals[stream] += len(data)
        if self.discarded or not contiguous or not self._spool.make_room(len(data)):
            return
        try:
            self._kept[stream].append(data)
        except OSError:  # the disk is full, or no more files can be opened: the run need not end for that
            self._spool.give_back(len(data))

    def read(self, stream: Stream, *, offset: int, size: int) -> bytes:
        """At most ``size`` of the bytes kept from ``offset`` on."""
        return self._kept[stream].read(offset, size)

    def attach(self, artifacts: tuple[Artifact, ...]) -> None:
        """Keeps the run's files beside its output; those for which there is no room are not kept."""
        for artifact in artifacts:
            if not self.discarded and self._spool.make_room(len(artifact.data)):
                self._attached += (artifact,)

    @property
    def attached(self) -> tuple[Artifact, ...]:
        """The run's files that are kept."""
        return self._attached

    def total(self, stream: Stream) -> int:
        """Bytes that the program wrote to ``stream``."""
        return self._totals[stream]

    def kept(self, stream: Stream) -> int:
        """Bytes from the stream's beginning that can be read."""
        return self._kept[stream].size

    @property
    def size(self) -> int:
        """Bytes kept of all streams and files."""
        return sum(kept.size for kept in self._kept.values()) + sum(
            len(artifact.data) for artifact in self._attached
        )

    def finish(self) -> None:
        """The run is over: from now on the record may be discarded to make room for others."""
        if not self.discarded:
            self._spool.finished(self)

    def discard(self) -> None:
        """Forgets the output; what was counted stays known."""
        if not self.discarded:
            self.discarded = True
            self._spool.forget(self)
            for kept in self._kept.values():
                kept.close()
            self._kept = {stream: _Bytes() for stream in STREAMS}
            self._attached = ()


class Spool:
    """Keeps at most ``cap`` bytes in all: for more, the records finished first are discarded."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._used = 0
        self._finished: OrderedDict[int, Record] = OrderedDict()

    def record(self) -> Record:
        """A new, empty record."""
        return Record(self)

    def make_room(self, size: int) -> bool:
        """Takes ``size`` bytes, discarding finished records for them; False where there are too few."""
        while self._used + size > self._cap and self._finished:
            next(iter(self._finished.values())).discard()
        if self._used + size > self._cap:
            return False
        self._used += size
        return True

    def give_back(self, size: int) -> None:
        """What `make_room` took and was not used."""
        self._used -= size

    def finished(self, record: Record) -> None:
        """``record`` may be discarded from now on, after those that finished before it."""
        self._finished[id(record)] = record

    def forget(self, record: Record) -> None:
        """Gives back what ``record`` has taken."""
        self._finished.pop(id(record), None)
        self._used -= record.size
