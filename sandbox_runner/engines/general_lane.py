"""The general lane: an image without our agent runs as it is; the host holds the limits.

The engine's own counts are sampled, so where they end with the container CPU time and peak memory may
be missing for a short program, and the CPU limit is met within a sample's length. A signal arrives as
exit code 128+n, as a shell reports it: the init that is PID 1 beside the program tells no more.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import anyio

from sandbox_runner.engines import Emit
from sandbox_runner.engines.agent_lane import ChannelEnded, pieces
from sandbox_runner.events import Exited, Output, Started, Status, Stream, Usage
from sandbox_runner.spec import Job

DRAIN_TIME = 0.5  # seconds without any output after which none is waited for once the program has ended
KILLED = 137  # the exit code of a program that SIGKILL ended


class Streams(Protocol):
    """The program's stdin, stdout and stderr. Used by one reader and one writer at a time."""

    async def receive(self) -> Sequence[tuple[Stream, bytes]]:
        """Some output, or none at the end of both streams. Raises ChannelEnded where it makes no sense."""
        ...

    async def send(self, data: bytes) -> None:
        """Sends all of ``data``; quietly nothing where nobody reads it any more."""
        ...

    async def end_input(self) -> None:
        """Ends stdin, where what carries it can."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """CPU time in seconds and peak memory in bytes, of all processes; None where unknown."""

    cpu_time: float | None = None
    peak_memory: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Handles:
    """What this lane asks of the engine: each a coroutine function for one container.

    ``wait`` returns the exit code when the program has ended, and raises ChannelEnded where the container
    died under it without our doing. ``counts`` is asked every ``interval`` seconds, and once more in the
    end where they ``last``. ``oom_kills`` counts the processes that were killed for want of memory; it is
    told whether to await news of that, as one may be what ended the program.
    """

    start: Callable[[], Awaitable[None]]
    wait: Callable[[], Awaitable[int]]
    counts: Callable[[], Awaitable[Counts]]
    oom_kills: Callable[[bool], Awaitable[int]]
    kill: Callable[[], Awaitable[None]]
    interval: float
    last: bool = False


@dataclass
class _Progress:
    """What is known of a program while it runs."""

    started: float
    sizes: dict[Stream, int] = field(default_factory=lambda: {"stdout": 0, "stderr": 0})
    counts: Counts = Counts()
    ended_by: Status | None = None
    ending: anyio.Event = field(default_factory=anyio.Event)
    emitting: bool = False
    drained: anyio.Event = field(default_factory=anyio.Event)
    broken: ChannelEnded | None = None


class GeneralLane:
    """One program in a foreign image, from its start to its end."""

    patience = 0.5  # seconds for the end of a program that is cancelled

    def __init__(self, streams: Streams, handles: Handles, run_id: str) -> None:
        self._streams = streams
        self._handles = handles
        self._run_id = run_id
        self._progress = _Progress(anyio.current_time())

    async def execute(self, job: Job, emit: Emit) -> Exited:
        """Raises what starting raises, and ChannelEnded where the container died under the program."""
        progress = self._progress
        await self._handles.start()
        progress.started = anyio.current_time()
        await emit(Started(self._run_id))
        exit_code = KILLED
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._send_stdin, job)
            tasks.start_soon(self._sample, job)
            tasks.start_soon(self._hold_deadline, job)
            tasks.start_soon(self._kill_when_ended)
            tasks.start_soon(self._read, job, emit)
            try:
                exit_code = await self._handles.wait()
            except ChannelEnded as error:
                progress.broken = progress.broken or error
            await self._drain()
            tasks.cancel_scope.cancel()
        if self._handles.last:
            self._note(await self._handles.counts())
        if progress.broken is not None and progress.ended_by is None:
            raise progress.broken
        return await self._exited(exit_code)

    async def cancel(self) -> None:
        self._end("cancelled")

    def _end(self, status: Status) -> None:
        if self._progress.ended_by is None:
            self._progress.ended_by = status
            self._progress.ending.set()

    async def _kill_when_ended(self) -> None:
        # In a task of its own: the daemon's kill waits for output that `_read` must go on taking.
        await self._progress.ending.wait()
        await self._handles.kill()

    async def _drain(self) -> None:
        """Waits for output after the end while it moves, or while its consumer has yet to take it."""
        progress = self._progress
        while not progress.drained.is_set():
            before = sum(progress.sizes.values())
            with anyio.move_on_after(DRAIN_TIME):
                await progress.drained.wait()
            if not progress.emitting and sum(progress.sizes.values()) == before:
                return

    async def _read(self, job: Job, emit: Emit) -> None:
        progress = self._progress
        try:
            while outputs := await self._streams.receive():
                for stream, data in outputs:
                    await self._pass_on(stream, data, job.limits.output, emit)
        except ChannelEnded as error:  # kept, so that it does not arrive in an ExceptionGroup
            progress.broken = error
            await self._handles.kill()
        progress.drained.set()

    async def _pass_on(self, stream: Stream, data: bytes, most: int, emit: Emit) -> None:
        progress, sizes = self._progress, self._progress.sizes
        kept = data[: max(0, most - sum(sizes.values()))]
        if kept:
            progress.emitting = True
            await emit(Output(stream, kept, sizes[stream]))
            progress.emitting = False
            sizes[stream] += len(kept)
        if len(kept) < len(data):
            self._end("output_limit")

    async def _send_stdin(self, job: Job) -> None:
        async for data in pieces(job.stdin):
            await self._streams.send(data)
        await self._streams.end_input()

    async def _hold_deadline(self, job: Job) -> None:
        await anyio.sleep(job.limits.wall_time)
        self._end("timed_out")

    async def _sample(self, job: Job) -> None:
        while True:
            await anyio.sleep(self._handles.interval)
            self._note(await self._handles.counts())
            used = self._progress.counts.cpu_time
            if used is not None and used > job.limits.cpu_time:
                self._end("cpu_limit")

    def _note(self, counts: Counts) -> None:
        known = self._progress.counts
        self._progress.counts = Counts(
            cpu_time=known.cpu_time if counts.cpu_time is None else counts.cpu_time,
            peak_memory=max(counts.peak_memory or 0, known.peak_memory or 0) or None,
        )

    async def _exited(self, exit_code: int) -> Exited:
        progress = self._progress
        status = progress.ended_by or "exited"
        unexplained = status == "exited" and exit_code == KILLED
        killed = await self._handles.oom_kills(unexplained)
        if unexplained and killed:
            status = "out_of_memory"
        hits = {
            "wall_time": int(status == "timed_out"),
            "cpu_time": int(status == "cpu_limit"),
            "output": int(status == "output_limit"),
            "memory": killed,
        }
        return Exited(
            status=status,
            exit_code=exit_code if status == "exited" else None,
            usage=Usage(
                wall_time=anyio.current_time() - progress.started,
                cpu_time=progress.counts.cpu_time,
                peak_memory=progress.counts.peak_memory,
                stdout_bytes=progress.sizes["stdout"],
                stderr_bytes=progress.sizes["stderr"],
            ),
            limits_hit={name: count for name, count in hits.items() if count},
        )
