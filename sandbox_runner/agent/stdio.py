"""What the program prints and reads: bytes between its pipes and the channel."""

import posix
from _io import BytesIO  # what `io` wraps

from .channel import Channel
from .protocol import HEADER, STDIN_WINDOW, ProtocolError

_SMALL_READ = 4096  # bytes: who prints less at a time, again and again, …
_PAUSE = 0.001  # … is read once in so many seconds, or most of the CPU time would be ours
# Made ahead: the program can deny us memory by prlimit. Of so much the zeros are pages that nobody touches.
BUFFER = BytesIO(bytes(1 << 18)).getbuffer()[: 1 << 16]
_FRAMED = BUFFER[HEADER.size :]  # a daemon's pipe holds 64 KiB: a frame that fits it leaves in one write
_AHEAD = 1 << 18  # bytes that a program which fills its pipe may be ahead of us
_F_SETPIPE_SZ, _F_GETPIPE_SZ = 1031, 1032


class Output:
    """One of the program's two output pipes; ``pipe`` is -1 once it has ended."""

    __slots__ = ("_widened", "kind", "pipe", "sent")

    def __init__(self, kind: int, pipe: int) -> None:
        self.kind = kind
        self.pipe = pipe
        self.sent = 0
        self._widened = False

    def pump(self, channel: Channel, *, job: int, allowed: int) -> int:
        """Sends what one read yields, but not more than ``allowed`` bytes of it.

        The bytes read; 0 at the end of the pipe, which is then closed; -1 where nothing is there now.
        """
        try:
            count = posix.readv(self.pipe, [_FRAMED])
        except BlockingIOError:
            return -1
        if not count:
            self.close()
        elif allowed:
            kept = min(count, allowed)
            channel.send(self.kind, job, _FRAMED[:kept])
            self.sent += kept
        if count == len(_FRAMED) and not self._widened:
            self._widen()
        return count

    def close(self) -> None:
        """Reads no more: the program gets SIGPIPE if it still writes."""
        if self.pipe >= 0:
            posix.close(self.pipe)
            self.pipe = -1

    def _widen(self) -> None:
        """Lets the program write while we do: on gVisor each change between the two costs much."""
        self._widened = True
        try:
            from fcntl import fcntl

            if fcntl(self.pipe, _F_GETPIPE_SZ) < _AHEAD:
                fcntl(self.pipe, _F_SETPIPE_SZ, _AHEAD)
        except (ImportError, OSError, MemoryError):  # refused, or denied by the program
            pass


class Streams:
    """Both outputs of a job, which together may send ``allowed`` bytes; ``overflowed``: there was more."""

    __slots__ = (
        "_allowed", "_channel", "_number", "_pumped", "_small", "outputs", "overflowed", "pause_end",
    )  # fmt: skip

    def __init__(self, outputs: tuple[Output, Output], channel: Channel, *, job: int, allowed: int) -> None:
        self.outputs = outputs
        self.overflowed = False
        self.pause_end = self._pumped = 0.0
        self._small = False  # whether the last read was
        self._channel = channel
        self._number = job
        self._allowed = allowed

    def readers(self, now: float) -> list[int]:
        """The descriptors to wait for until they can be read."""
        if self._channel.clear and now >= self.pause_end:
            return [output.pipe for output in self.outputs if output.pipe >= 0]
        return []

    def pump_ready(self, ready: set[int], now: float) -> None:
        """Sends what is there, once of each output."""
        count = 0
        for output in self.outputs:
            if output.pipe in ready and self._channel.clear:
                count += max(self.pump(output), 0)
        if count:
            before, self._small = self._small, count < _SMALL_READ
            if before and self._small and now - self._pumped < _PAUSE:
                self.pause_end = now + _PAUSE
            self._pumped = now

    def pump(self, output: Output) -> int:
        """As `Output.pump` does it, within what is still allowed."""
        count = output.pump(self._channel, job=self._number, allowed=self._allowed)
        self.overflowed |= count > self._allowed
        self._allowed -= min(max(count, 0), self._allowed)
        return count


class Input:
    """The program's stdin. What it will never read is dropped, and credited like what it took."""

    __slots__ = ("_ended", "_waiting", "credit", "pipe")

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe
        self.credit = 0
        self._waiting = bytearray()
        self._ended = False

    @property
    def waiting(self) -> bool:
        """Whether the program has yet to make room for bytes."""
        return bool(self._waiting)

    def take(self, data: bytes) -> None:
        """Passes on ``data``. Raises ProtocolError where it exceeds the credit, or follows the end."""
        if self._ended or len(self._waiting) + self.credit + len(data) > STDIN_WINDOW:
            raise ProtocolError("STDIN beyond its credit or its end")
        self._waiting += data
        self.feed()

    def end(self) -> None:
        """Closes the pipe once all before is written."""
        self._ended = True
        self.feed()

    def feed(self) -> None:
        """Writes as much as the pipe holds."""
        if self._waiting and self.pipe >= 0:
            self._write()
        if self.pipe < 0:
            self.credit += len(self._waiting)
            self._waiting.clear()
        elif self._ended and not self._waiting:
            self.close()

    def close(self) -> None:
        """Writes no more."""
        if self.pipe >= 0:
            posix.close(self.pipe)
            self.pipe = -1

    def _write(self) -> None:
        try:
            count = posix.write(self.pipe, self._waiting)
        except BlockingIOError:
            return
        except OSError:  # nobody can read it any more
            self.close()
            return
        del self._waiting[:count]
        self.credit += count
