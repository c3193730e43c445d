"""A job while it runs: its limits, how it ends, and what is reported of it.

    RUNNING ── main program ends ──► LINGERING ── pipes end, or 0.5 s ──► KILLING ──► EMPTYING ──► OVER
       └───────────── a limit, or CANCEL ───────────────────────────────────┘

From LINGERING on the cause is known; only too much output found in the pipes changes it.
EMPTYING ends with what is given back. Where the job is one of a session KILLING ends the program's
process group, else all that runs.
"""

import posix
from time import monotonic

from . import protocol
from .channel import Channel
from .evidence import Evidence, full
from .program import Program, group_is_left, kill_everything, kill_group, send_signal
from .protocol import Job, ProtocolError
from .stdio import Input, Output, Streams

TYPE_CHECKING = False  # as in `typing`, which costs a run its time to load
if TYPE_CHECKING:
    from .giveback import GiveBack

RUNNING, LINGERING, KILLING, EMPTYING, OVER = range(5)

LINGER = 0.5  # seconds for processes that outlive the main program to finish what they print
_CPU_LOOK = 0.01  # seconds between two looks at the CPU time, at least
SAMPLE = 0.05  # seconds between two looks at the memory, where the kernel keeps no peak
KILL_AGAIN = 0.01
_ROUNDS = 17  # reads of what is left in a pipe that others still hold: as much as a pipe can hold
_ALL = 1 << 30
_NEVER_REAPED = 1  # seconds for the rest of a group to be reaped, by whoever is its parent
_NANOSECONDS = 1e9
_HIGHEST_SIGNAL = 64


class Nothing:
    """In the place of `GiveBack` for a job that asks for nothing back."""

    __slots__ = ()
    omitted = 0

    def pump(self, channel: Channel, *, job: int) -> bool:
        """Whether all is sent."""
        return True


class Clock:
    """The time that a job may still take, by the wall clock and of the CPUs."""

    __slots__ = ("_cores", "_cpu_limit", "_evidence", "deadline", "look", "started")

    def __init__(self, job: Job, *, started: float, evidence: Evidence) -> None:
        self.started = started
        self.deadline = started + job.wall_time
        self.look = started  # when to ask for the CPU time again
        self._cpu_limit = job.cpu_time
        self._cores = len(posix.sched_getaffinity(0))
        self._evidence = evidence

    def exceeded(self, now: float) -> int:
        """The cause that a limit is for the job's end, or -1."""
        if now >= self.deadline:
            return protocol.TIMED_OUT
        if now >= self.look:
            left = self._cpu_limit - self._evidence.cpu_time() / _NANOSECONDS
            if left <= 0:
                return protocol.CPU_LIMIT
            self.look = now + max(left / self._cores, _CPU_LOOK)
        return -1


def report(
    evidence: Evidence,
    streams: Streams,
    *,
    cause: int,
    status: int,
    wall_time: float,
    omitted: int,
    state_lost: bool = False,
) -> protocol.Exit:
    """How a job ended, with what the kernel counted for it."""
    stdout, stderr = streams.outputs
    return protocol.Exit(
        cause=cause,
        status=status,
        wall_time=wall_time,
        cpu_time=evidence.cpu_time(),
        peak_memory=evidence.peak_memory(),
        oom_kills=evidence.oom_kills(),
        pids_refused=evidence.pids_refused(),
        workspace_full=full("."),
        tmp_full=full("/tmp"),  # noqa: S108 - what is measured, not used
        stdout_bytes=stdout.sent,
        stderr_bytes=stderr.sent,
        artifacts_omitted=omitted,
        state_lost=int(state_lost),
    )


class Run:
    """The state of one job. ``phase`` tells how far it is; the loop calls the rest."""

    __slots__ = (
        "_cause", "_channel", "_clock", "_evidence", "_giveback", "_input", "_killed", "_linger_end",
        "_number", "_program", "_reaped", "_session", "_status", "_streams", "_wall_time", "phase",
    )  # fmt: skip
    kernel = None

    def __init__(
        self,
        number: int,
        job: Job,
        program: Program,
        *,
        started: float,
        channel: Channel,
        evidence: Evidence,
        giveback: "GiveBack | Nothing",
    ) -> None:
        self.phase = RUNNING
        self._number = number
        self._program = program
        self._channel = channel
        self._evidence = evidence
        self._giveback = giveback
        self._session = job.session
        self._input = Input(program.stdin)
        outputs = (Output(protocol.STDOUT, program.stdout), Output(protocol.STDERR, program.stderr))
        self._streams = Streams(outputs, channel, job=number, allowed=job.output)
        self._clock = Clock(job, started=started, evidence=evidence)
        self._cause = -1
        self._status = 0
        self._wall_time = 0.0
        self._linger_end = 0.0
        self._reaped = False
        self._killed = 0.0  # when the killing began

    def readers(self, now: float) -> list[int]:
        """The descriptors to wait for until they can be read."""
        return self._streams.readers(now)

    def writers(self) -> list[int]:
        """The descriptors to wait for until they can be written."""
        return [self._input.pipe] if self._input.waiting else []

    def next_look(self, now: float) -> float:
        """When to call `advance` although no descriptor is ready."""
        if self.phase == KILLING:
            return now + KILL_AGAIN
        if self.phase == EMPTYING:  # waits for the host alone
            return now + protocol.MAX_SECONDS
        times = [self._clock.deadline, self._clock.look if self.phase == RUNNING else self._linger_end]
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
            running = self._program if self.phase == RUNNING else None
            pass_on(kind, payload, stdin=self._input, program=running)

    def note_ended(self, ended: dict[int, int], *, any_left: bool) -> None:
        """Takes in which children have ended, by their wait status, and whether there are others."""
        if self._program.pid in ended:
            self._reaped = True
            self._note_main(ended[self._program.pid])
        if not any_left and self.phase < EMPTYING:
            self.phase = EMPTYING

    def advance(self, ready: set[int], now: float) -> None:
        """Moves bytes, enforces limits, and sends EXIT once all is over. Raises EOFError."""
        if self._input.pipe in ready:
            self._input.feed()
        if self.phase < EMPTYING:
            self._streams.pump_ready(ready, now)
            self._enforce(now)
        if self.phase == EMPTYING:
            self._empty()
        if self._input.credit and self._channel.clear and self.phase < OVER:
            self._channel.send(protocol.CREDIT, self._number, self._input.credit.to_bytes(4, "big"))
            self._input.credit = 0

    def _note_main(self, status: int) -> None:
        self._wall_time = monotonic() - self._clock.started
        if self.phase != RUNNING:
            return
        self.phase = LINGERING
        self._linger_end = self._clock.started + self._wall_time + LINGER
        code = posix.waitstatus_to_exitcode(status)
        self._cause = protocol.EXITED if code >= 0 else protocol.SIGNALED
        self._status = abs(code)

    def _end(self, cause: int) -> None:
        if self.phase == RUNNING:
            self._cause = cause
        if self.phase < KILLING:
            self.phase = KILLING
            self._killed = monotonic()
            self._kill()

    def _kill(self) -> None:
        if self._session:
            kill_group(self._program)
        else:
            kill_everything()

    def _enforce(self, now: float) -> None:
        if self._evidence.needs_samples:
            self._evidence.sample()
        if self._streams.overflowed:
            self._overflow()
        if self.phase == RUNNING:
            cause = self._clock.exceeded(now)
            if cause >= 0:
                self._end(cause)
        elif self.phase == LINGERING:
            silent = all(output.pipe < 0 for output in self._streams.outputs)
            if silent or now >= min(self._linger_end, self._clock.deadline):
                self._end(self._cause)
        if self.phase == KILLING:
            self._kill()
            if self._session and self._reaped and self._group_is_gone(now):
                self.phase = EMPTYING

    def _group_is_gone(self, now: float) -> bool:
        return not group_is_left(self._program) or now - self._killed > _NEVER_REAPED

    def _overflow(self) -> None:
        """More was printed than is allowed, be it while the main program ran or found in the pipes after."""
        for output in self._streams.outputs:
            output.close()
        if self._cause in (protocol.EXITED, protocol.SIGNALED):
            self._cause, self._status = protocol.OUTPUT_LIMIT, 0
        self._end(protocol.OUTPUT_LIMIT)

    def _empty(self) -> None:
        """No process is left, so that a pipe that is empty stays so; in a session others may still write."""
        for output in self._streams.outputs:
            for _ in range(_ROUNDS if self._session else _ALL):
                if output.pipe < 0 or not self._channel.clear:
                    break
                if self._streams.pump(output) < 0:
                    output.close()
            else:
                output.close()
        if self._streams.overflowed:
            self._overflow()
        if all(output.pipe < 0 for output in self._streams.outputs):
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
        )


def pass_on(kind: int, payload: bytes, *, stdin: Input, program: Program | None) -> None:
    """Gives the ``program``, where it runs, what a frame of the host has for it. Raises ProtocolError."""
    if kind == protocol.STDIN:
        stdin.take(payload)
    elif kind == protocol.STDIN_EOF:
        stdin.end()
    elif kind == protocol.SIGNAL:
        number = _signal_of(payload)
        if program:
            send_signal(program, number)
    else:
        raise ProtocolError(f"a frame of kind {kind} while a job runs")


def _signal_of(payload: bytes) -> int:
    if len(payload) != 1 or not 1 <= payload[0] <= _HIGHEST_SIGNAL:
        raise ProtocolError("a SIGNAL that is none")
    return payload[0]
