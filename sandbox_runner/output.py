"""Output of a program, bounded: what is kept for the result and what waits for a slow consumer."""

import codecs
from collections import deque
from dataclasses import dataclass

from sandbox_runner.events import STREAMS, Output, Stream, Truncated

_CUT = "\n[… {cut} bytes cut …]\n"


@dataclass(frozen=True, slots=True)
class Captured:
    """What was kept of a stream: its ``head`` and ``tail`` of ``total`` bytes written."""

    head: bytes
    tail: bytes
    total: int

    @property
    def cut(self) -> int:
        """Bytes between head and tail that were not kept."""
        return self.total - len(self.head) - len(self.tail)

    @property
    def text(self) -> str:
        """Head and tail as UTF-8 with replacement; where bytes were cut a line between them counts them."""
        if not self.cut:
            return (self.head + self.tail).decode(errors="replace")
        marker = _CUT.format(cut=self.cut)
        return self.head.decode(errors="replace") + marker + self.tail.decode(errors="replace")


class Capture:
    """Keeps the first and the last half of ``cap`` bytes of a stream, and counts all."""

    def __init__(self, cap: int) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._head_cap = cap - cap // 2
        self._tail_cap = cap // 2
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self._head_cap - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if not data or not self._tail_cap:
            return
        self._join_small(data)
        while self._tail_size - len(self._tail[0]) >= self._tail_cap:
            self._tail_size -= len(self._tail.popleft())

    def _join_small(self, data: bytes) -> None:
        # One-byte writes would otherwise cost an object each.
        if self._tail and len(self._tail[-1]) + len(data) <= 4096:
            self._tail[-1] += data
        else:
            self._tail.append(data)
        self._tail_size += len(data)

    def captured(self) -> Captured:
        tail = b"".join(self._tail)
        return Captured(bytes(self._head), tail[-self._tail_cap :] if self._tail_cap else b"", self.total)


class Pending:
    """Output that waits for its consumer: pieces are joined, and beyond ``cap`` bytes new ones are dropped.

    The consumer gets the pieces in the order they were written, then a Truncated for what it missed.
    """

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._size = 0
        self._entries: deque[tuple[Stream, int, bytearray]] = deque()
        self._dropped: dict[Stream, tuple[int, int]] = {}
        self._decoders = {stream: _decoder() for stream in STREAMS}
        self._ends: dict[Stream, int] = dict.fromkeys(STREAMS, 0)

    def __bool__(self) -> bool:
        return bool(self._entries or self._dropped)

    def has_room(self, size: int) -> bool:
        """Whether ``size`` more bytes would be kept. An empty one takes any piece."""
        return not self._size or self._size + size <= self._cap

    def add(self, stream: Stream, data: bytes, *, offset: int) -> None:
        self._ends[stream] = offset + len(data)
        if stream in self._dropped or not self.has_room(len(data)):
            first, count = self._dropped.get(stream, (offset, 0))
            self._dropped[stream] = (first, count + len(data))
            return
        self._size += len(data)
        if self._entries and self._entries[-1][0] == stream:
            self._entries[-1][2].extend(data)
        else:
            self._entries.append((stream, offset, bytearray(data)))

    def take(self) -> list[Output | Truncated]:
        """All that waits, as events. What a stream lost comes after what was kept of it."""
        events: list[Output | Truncated] = []
        for stream, offset, data in self._entries:
            text = self._decoders[stream].decode(data)
            events.append(Output(stream, bytes(data), offset, text))
        for stream, (offset, dropped) in self._dropped.items():
            self._decoders[stream].reset()
            events.append(Truncated(stream, offset, dropped))
        self._entries.clear()
        self._dropped.clear()
        self._size = 0
        return events

    def finish(self) -> list[Output]:
        """At the end of the streams: replacement characters for what was cut within a character."""
        events = []
        for stream, end in self._ends.items():
            text = self._decoders[stream].decode(b"", final=True)
            if text:
                events.append(Output(stream, b"", end, text))
        return events


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")
