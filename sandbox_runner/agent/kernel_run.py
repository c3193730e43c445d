"""A job that a kernel runs: what it is sent, what it shows, and how it ends without the kernel's end.

RUNNING ── done ─────────────────────────────────────────────────────► EMPTYING ──► OVER
   │  └─── a limit, or CANCEL ──► INTERRUPTED ── done ────────────────►    ▲
   │                                  └── the grace passes, or CANCEL ─┐   │
   ├─────────── it breaks the rules of `kernel` ───────────────────────┴► KILLING
   └─────────── the kernel ends ──────────────────────────────────────►    ┘
"""

import posix
from time import monotonic

from . import protocol
from .channel import Channel
from .evidence import Evidence
from .kernel import Kernel
from .program import interrupt_group, kill_session
from .protocol import Job, ProtocolError
from .run import (
    EMPTYING,
    KILL_AGAIN,
    KILLING,
    LINGER,
    LINGERING,
    OVER,
    RUNNING,
    SAMPLE,
    Clock,
    Nothing,
    pass_on,
    report,
)
from .stdio import BUFFER, Input, Streams

TYPE_CHECKING = False  # as in `typing`, which costs a run its time to load
if TYPE_CHECKING:
    from .giveback import GiveBack

INTERRUPTED = LINGERING  # the program is over but for what it makes of its end

_ROUNDS = 17  # reads of each output after the end: as much as a pipe can hold; others may still write
_SIGKILL = 9
_NEVER = 1e18


class KernelRun:
    """The state of one job of a kernel, as `run.Run` is that of any other."""

    __slots__ = (
        "_again", "_cause", "_channel", "_clock", "_code", "_evidence", "_giveback", "_grace_end", "_input",
        "_mute_end", "_number", "_rounds", "_state_lost", "_status", "_streams", "_wall_time", "kernel",
        "phase",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        job: Job,
        kernel: Kernel,
        code: bytes,
        *,
        started: float,
        state_lost: bool,
        channel: Channel,
        evidence: Evidence,
        giveback: "GiveBack | Nothing",
    ) -> None:
        self.phase = RUNNING
        self.kernel = kernel
        self._number = number
        self._channel = channel
        self._evidence = evidence
        self._giveback = giveback
        self._input = Input(kernel.begin(number))
        self._streams = Streams(kernel.outputs, channel, job=number, allowed=job.output)
        self._clock = Clock(job, started=started, evidence=evidence)
        self._code = memoryview(b"__run__ %d %d\n" % (number, len(code)) + code)
        self._cause = -1
        self._status = 0
        self._wall_time = 0.0
        self._again = self._grace_end = 0.0
        self._mute_end = _NEVER
        self._rounds = _ROUNDS
        self._state_lost = state_lost
        self._feed()

    def readers(self, now: float) -> list[int]:
        """The descriptors to wait for until they can be read."""
        pipes = self._streams.readers(now)
        if self._channel.clear and self.phase < KILLING and self._mute_end == _NEVER:
            pipes.append(self.kernel.message_pipe)
        return pipes

    def writers(self) -> list[int]:
        """The descriptors to wait for until they can be written."""
        pipes = [self._input.pipe] if self._input.waiting else []
        return [*pipes, self.kernel.code_pipe] if self._code else pipes

    def next_look(self, now: float) -> float:
        """When to call `advance` although no descriptor is ready."""
        if self.phase == KILLING:
            return now + KILL_AGAIN
        if self.phase == EMPTYING:  # waits for the host alone
            return now + protocol.MAX_SECONDS
        if self.phase == RUNNING:
            times = [self._clock.deadline, self._clock.look, self._mute_end]
        else:
            times = [self._again, self._grace_end, self._mute_end]
        if now < self._streams.pause_end:
            times.append(self._streams.pause_end)
        if self._evidence.needs_samples:
            times.append(now + SAMPLE)
        return min(times)

    def handle(self, kind: int, payload: bytes) -> None:
        """Does what a frame of the host asks. Raises ProtocolError."""
        if kind == protocol.CANCEL:
            self._end(protocol.CANCELLED)
        else:
            running = self.kernel.program if self.phase == RUNNING else None
            pass_on(kind, payload, stdin=self._input, program=running)

    def note_ended(self, ended: dict[int, int], *, any_left: bool) -> None:
        """Takes in which children have ended."""
        if self.kernel.program.pid not in ended or self.phase >= EMPTYING:
            return
        code = posix.waitstatus_to_exitcode(self.kernel.ended)
        if self.phase == RUNNING:
            self._cause = protocol.EXITED if code >= 0 else protocol.SIGNALED
            self._status = abs(code)
        self._state_lost = True
        kill_session(self.kernel.program)  # what it leaves could still hold its descriptors
        self._finish()

    def advance(self, ready: set[int], now: float) -> None:
        """Moves bytes, enforces limits, and sends EXIT once all is over. Raises EOFError."""
        if self._input.pipe in ready:
            self._input.feed()
        if self._code and self.kernel.code_pipe in ready:
            self._feed()
        if self.phase < EMPTYING:
            self._streams.pump_ready(ready, now)
            if self.phase < KILLING and self.kernel.message_pipe in ready and self._channel.clear:
                self._listen()
            self._enforce(now)
        if self.phase == EMPTYING:
            self._empty()
        if self._input.credit and self._channel.clear and self.phase < OVER:
            self._channel.send(protocol.CREDIT, self._number, self._input.credit.to_bytes(4, "big"))
            self._input.credit = 0

    def _feed(self) -> None:
        try:
            self._code = self._code[posix.write(self.kernel.code_pipe, self._code) :]
        except BlockingIOError:
            pass
        except OSError:
            self._mute()

    def _listen(self) -> None:
        try:
            count = posix.readv(self.kernel.message_pipe, [BUFFER])
            if not count:
                self._mute()
                return
            for piece in self.kernel.messages.feed(BUFFER[:count]):
                self._channel.send(protocol.RETURNED, self._number, piece)
        except BlockingIOError:
            return
        except ProtocolError:
            self._break()
            return
        if self.kernel.messages.code >= 0:
            self._note_done(self.kernel.messages.code)

    def _note_done(self, code: int) -> None:
        if self._code:  # it has not even read its code
            self._break()
            return
        if self.phase == RUNNING:
            self._cause, self._status = protocol.EXITED, code
        self._finish()

    def _mute(self) -> None:
        """It has closed a descriptor, so that it will never be done; most likely it is about to end."""
        self._code = self._code[:0]
        self._mute_end = min(self._mute_end, monotonic() + LINGER)

    def _break(self) -> None:
        """It does what no kernel does, so nothing that it says counts any more."""
        self._code = self._code[:0]
        if self.phase == RUNNING:
            self._cause, self._status = protocol.SIGNALED, _SIGKILL
        self._kill()

    def _end(self, cause: int) -> None:
        """Interrupts what runs; the second time there is no patience any more."""
        if self.phase == RUNNING:
            self._cause = cause
            self.phase = INTERRUPTED
            now = monotonic()
            self._again, self._grace_end = now + protocol.GRACE / 2, now + protocol.GRACE
            interrupt_group(self.kernel.program)
        elif self.phase == INTERRUPTED:
            self._kill()

    def _kill(self) -> None:
        self.phase = KILLING
        self._state_lost = True
        kill_session(self.kernel.program)

    def _enforce(self, now: float) -> None:
        if self._evidence.needs_samples:
            self._evidence.sample()
        if self.phase < KILLING and now >= self._mute_end:
            self._break()
        elif self.phase == RUNNING:
            cause = protocol.OUTPUT_LIMIT if self._streams.overflowed else self._clock.exceeded(now)
            if cause >= 0:
                self._end(cause)
        elif self.phase == INTERRUPTED:
            if now >= self._grace_end:
                self._kill()
            elif now >= self._again:  # a shell that was just about to start a program misses the first
                self._again = self._grace_end
                interrupt_group(self.kernel.program)
        elif self.phase == KILLING:
            kill_session(self.kernel.program)

    def _finish(self) -> None:
        self._wall_time = monotonic() - self._clock.started
        self.phase = EMPTYING

    def _empty(self) -> None:
        """All that the job itself has printed is in the pipes; what others go on to print can wait."""
        while self._rounds:
            if not self._channel.clear:
                return
            counts = [self._streams.pump(output) for output in self._streams.outputs if output.pipe >= 0]
            self._rounds = self._rounds - 1 if any(count > 0 for count in counts) else 0
        if self._streams.overflowed and self._cause in (protocol.EXITED, protocol.SIGNALED):
            self._cause, self._status = protocol.OUTPUT_LIMIT, 0
        self._input.close()
        if self._giveback.pump(self._channel, job=self._number):
            self._channel.send(protocol.EXIT, self._number, self._report().pack())
            self.phase = OVER

    def _report(self) -> protocol.Exit:
        return report(
            self._evidence,
            self._streams,
            cause=self._cause,
            status=self._status,
            wall_time=self._wall_time,
            omitted=self._giveback.omitted,
            state_lost=self._state_lost,
        )
