"""A job while it runs: its limits, how it ends, and what is reported of it.

    RUNNING ── main program ends ──► LINGERING ── pipes end, or 0.5 s ──► KILLING ──► EMPTYING ──► OVER
       └───────────── a limit, or CANCEL ───────────────────────────────────┘

From LINGERING on the cause is known; only too much output found in the pipes changes it.
EMPTYING ends with what is given back.
"""

import posix
from time import monotonic

from . import protocol
from .channel import Channel
from .evidence import Evidence, full
from .giveback import GiveBack
from .program import Program, kill_everything, send_signal
from .protocol import Job, ProtocolError
from .stdio import Input, Output

RUNNING, LINGERING, KILLING, EMPTYING, OVER = range(5)

_LINGER = 0.5  # seconds for processes that outlive the main program to finish what they print
_CPU_LOOK = 0.01  # seconds between two looks at the CPU time, at least
_SAMPLE = 0.05  # seconds between two looks at the memory, where the kernel keeps no peak
_KILL_AGAIN = 0.01
_SMALL_READ = 4096  # bytes: who prints less at a time …
_PAUSE = 0.001  # … is read once in so many seconds, or most of the CPU time would be ours
_NANOSECONDS = 1e9
_HIGHEST_SIGNAL = 64


class Run:
    """The state of one job. ``phase`` tells how far it is; the loop calls the rest."""

    __slots__ = (
        "_cause", "_channel", "_cores", "_cpu_limit", "_cpu_look", "_deadline", "_evidence", "_giveback",
        "_input", "_left", "_linger_end", "_number", "_outputs", "_pause_end", "_program", "_pumped",
        "_started", "_status", "_wall_time", "phase",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        job: Job,
        program: Program,
        *,
        started: float,
        channel: Channel,
        evidence: Evidence,
        giveback: GiveBack,
    ) -> None:
        self.phase = RUNNING
        self._number = number
        self._program = program
        self._channel = channel
        self._evidence = evidence
        self._giveback = giveback
        self._input = Input(program.stdin)
        self._outputs = (Output(protocol.STDOUT, program.stdout), Output(protocol.STDERR, program.stderr))
        self._cause = -1
        self._status = 0
        self._started = started
        self._wall_time = 0.0
        self._deadline = started + job.wall_time
        self._linger_end = 0.0
        self._cpu_limit = job.cpu_time
        self._cpu_look = started
        self._cores = len(posix.sched_getaffinity(0))
        self._left = job.output
        self._pumped = self._pause_end = 0.0

    def readers(self, now: float) -> list[int]:
        """The descriptors to wait for until they can be read."""
        if self._channel.clear and now >= self._pause_end:
            return [output.pipe for output in self._outputs if output.pipe >= 0]
        return []

    def writers(self) -> list[int]:
        """The descriptors to wait for until they can be written."""
        return [self._input.pipe] if self._input.waiting else []

    def next_look(self, now: float) -> float:
        """When to call `advance` although no descriptor is ready."""
        if self.phase == KILLING:
            return now + _KILL_AGAIN
        if self.phase == EMPTYING:  # waits for the host alone
            return now + protocol.MAX_SECONDS
        times = [self._deadline, self._cpu_look if self.phase == RUNNING else self._linger_end]
        if now < self._pause_end:
            times.append(self._pause_end)
        if self._evidence.needs_samples:
            times.append(now + _SAMPLE)
        return min(times)

    def handle(self, kind: int, payload: bytes) -> None:
        """Does what a frame of the host asks. Raises ProtocolError."""
        if kind == protocol.STDIN:
            self._input.take(payload)
        elif kind == protocol.STDIN_EOF:
            self._input.end()
        elif kind == protocol.SIGNAL:
            self._signal(payload)
        elif kind == protocol.CANCEL:
            self._end(protocol.CANCELLED)
        else:
            raise ProtocolError(f"a frame of kind {kind} while a job runs")

    def note_ended(self, ended: dict[int, int], *, any_left: bool) -> None:
        """Takes in which children have ended, by their wait status, and whether there are others."""
        if self._program.pid in ended:
            self._note_main(ended[self._program.pid])
        if not any_left and self.phase < EMPTYING:
            self.phase = EMPTYING

    def advance(self, ready: set[int], now: float) -> None:
        """Moves bytes, enforces limits, and sends EXIT once all is over. Raises EOFError."""
        if self._input.pipe in ready:
            self._input.feed()
        if self.phase < EMPTYING:
            self._pump_ready(ready, now)
            self._enforce(now)
        else:
            self._empty()
        if self._input.credit and self._channel.clear:
            self._channel.send(protocol.CREDIT, self._number, self._input.credit.to_bytes(4, "big"))
            self._input.credit = 0

    def _signal(self, payload: bytes) -> None:
        if len(payload) != 1 or not 1 <= payload[0] <= _HIGHEST_SIGNAL:
            raise ProtocolError("a SIGNAL that is none")
        if self.phase == RUNNING:
            send_signal(self._program, payload[0])

    def _note_main(self, status: int) -> None:
        self._wall_time = monotonic() - self._started
        if self.phase != RUNNING:
            return
        self.phase = LINGERING
        self._linger_end = self._started + self._wall_time + _LINGER
        code = posix.waitstatus_to_exitcode(status)
        self._cause = protocol.EXITED if code >= 0 else protocol.SIGNALED
        self._status = abs(code)

    def _end(self, cause: int) -> None:
        if self.phase == RUNNING:
            self._cause = cause
        if self.phase < KILLING:
            self.phase = KILLING
            kill_everything()

    def _enforce(self, now: float) -> None:
        if self._evidence.needs_samples:
            self._evidence.sample()
        if self.phase == RUNNING:
            if now >= self._deadline:
                self._end(protocol.TIMED_OUT)
            elif now >= self._cpu_look:
                self._look_at_cpu(now)
        elif self.phase == LINGERING:
            silent = all(output.pipe < 0 for output in self._outputs)
            if silent or now >= min(self._linger_end, self._deadline):
                self._end(self._cause)
        elif self.phase == KILLING:
            kill_everything()

    def _look_at_cpu(self, now: float) -> None:
        left = self._cpu_limit - self._evidence.cpu_time() / _NANOSECONDS
        if left <= 0:
            self._end(protocol.CPU_LIMIT)
        self._cpu_look = now + max(left / self._cores, _CPU_LOOK)

    def _pump_ready(self, ready: set[int], now: float) -> None:
        count = 0
        for output in self._outputs:
            if output.pipe in ready and self._channel.clear:
                count += max(self._pump(output), 0)
        if count:
            if count < _SMALL_READ and now - self._pumped < _PAUSE:
                self._pause_end = now + _PAUSE
            self._pumped = now

    def _pump(self, output: Output) -> int:
        count = output.pump(self._channel, job=self._number, allowed=self._left)
        if count > self._left:
            self._overflow()
        self._left -= max(count, 0)
        return count

    def _overflow(self) -> None:
        """More was printed than is allowed, be it while the main program ran or found in the pipes after."""
        for output in self._outputs:
            output.close()
        if self._cause in (protocol.EXITED, protocol.SIGNALED):
            self._cause, self._status = protocol.OUTPUT_LIMIT, 0
        self._end(protocol.OUTPUT_LIMIT)

    def _empty(self) -> None:
        """No process is left, so that a pipe that is empty stays so."""
        for output in self._outputs:
            while output.pipe >= 0 and self._channel.clear:
                if self._pump(output) < 0:
                    output.close()
        if all(output.pipe < 0 for output in self._outputs):
            self._input.close()
            if self._giveback.pump(self._channel, job=self._number):
                self._channel.send(protocol.EXIT, self._number, self._report().pack())
                self.phase = OVER

    def _report(self) -> protocol.Exit:
        stdout, stderr = self._outputs
        return protocol.Exit(
            cause=self._cause,
            status=self._status,
            wall_time=self._wall_time,
            cpu_time=self._evidence.cpu_time(),
            peak_memory=self._evidence.peak_memory(),
            oom_kills=self._evidence.oom_kills(),
            pids_refused=self._evidence.pids_refused(),
            workspace_full=full("."),
            tmp_full=full("/tmp"),  # noqa: S108 - what is measured, not used
            stdout_bytes=stdout.sent,
            stderr_bytes=stderr.sent,
            artifacts_omitted=self._giveback.omitted,
        )
