"""The general lane: an image without our agent runs as it is; the host holds the limits.

The engine's own counts are sampled, so CPU time and peak memory may be missing for a short
program, and the CPU limit is met within a sample's length. A signal arrives as exit code
128+n, as a shell reports it: the engine tells no more.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio

from sandbox_runner.engines import Emit
from sandbox_runner.engines.agent_lane import ChannelEnded, pieces
from sandbox_runner.engines.docker.channel import Channel
from sandbox_runner.engines.docker.demux import Demux, DemuxError
from sandbox_runner.events import Exited, Output, Started, Status, Stream, Usage
from sandbox_runner.spec import Job

SAMPLE_INTERVAL = 0.5  # seconds between two readings of the engine's counts
DRAIN_TIME = 0.5  # seconds without any output after which none is waited for once the program has ended
_EXIT_SIGKILL = 137


@dataclass
class _Progress:
    """What is known of a program while it runs."""

    started: float
    sizes: dict[Stream, int] = field(default_factory=lambda: {"stdout": 0, "stderr": 0})
    cpu_time: float | None = None
    peak_memory: int | None = None
    ended_by: Status | None = None
    ending: anyio.Event = field(default_factory=anyio.Event)
    emitting: bool = False
    drained: anyio.Event = field(default_factory=anyio.Event)


@dataclass(frozen=True, slots=True)
class Daemon:
    """What this lane asks of the engine: each a coroutine function for one container."""

    start: Callable[[], Awaitable[None]]
    wait: Callable[[], Awaitable[int]]
    stats: Callable[[], Awaitable[dict[str, Any]]]
    oom_killed: Callable[[], Awaitable[bool]]
    kill: Callable[[], Awaitable[None]]


class GeneralLane:
    """One program in a foreign image, from its start to its end."""

    def __init__(self, channel: Channel, daemon: Daemon, run_id: str) -> None:
        self._channel = channel
        self._daemon = daemon
        self._run_id = run_id
        self._progress = _Progress(anyio.current_time())

    async def execute(self, job: Job, emit: Emit) -> Exited:
        """Raises what starting raises."""
        await self._daemon.start()
        self._progress.started = anyio.current_time()
        await emit(Started(self._run_id))
        exit_code = _EXIT_SIGKILL
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._send_stdin, job)
            tasks.start_soon(self._sample, job)
            tasks.start_soon(self._hold_deadline, job)
            tasks.start_soon(self._kill_when_ended)
            tasks.start_soon(self._read, job, emit)
            exit_code = await self._daemon.wait()
            await self._drain()
            tasks.cancel_scope.cancel()
        return await self._exited(exit_code, job)

    async def cancel(self) -> None:
        self._end("cancelled")

    def _end(self, status: Status) -> None:
        if self._progress.ended_by is None:
            self._progress.ended_by = status
            self._progress.ending.set()

    async def _kill_when_ended(self) -> None:
        # In a task of its own: the daemon's kill waits for output that `_read` must go on taking.
        await self._progress.ending.wait()
        await self._daemon.kill()

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
        demux, sizes = Demux(), progress.sizes
        while data := await self._channel.receive():
            try:
                pieces = demux.feed(data)
            except DemuxError as error:
                raise ChannelEnded(str(error)) from error
            for name, piece in pieces:
                stream: Stream = "stderr" if name == "stderr" else "stdout"
                kept = piece[: max(0, job.limits.output - sum(sizes.values()))]
                if kept:
                    progress.emitting = True
                    await emit(Output(stream, kept, sizes[stream]))
                    progress.emitting = False
                    sizes[stream] += len(kept)
                if len(kept) < len(piece):
                    self._end("output_limit")
        progress.drained.set()

    async def _send_stdin(self, job: Job) -> None:
        async for data in pieces(job.stdin):
            await self._channel.send(data)
        await self._channel.end_input()

    async def _hold_deadline(self, job: Job) -> None:
        await anyio.sleep(job.limits.wall_time)
        self._end("timed_out")

    async def _sample(self, job: Job) -> None:
        progress = self._progress
        while True:
            await anyio.sleep(SAMPLE_INTERVAL)
            stats = await self._daemon.stats()
            cpu = stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage")
            memory = stats.get("memory_stats", {})
            if cpu:
                progress.cpu_time = cpu / 1e9
            peak = max(memory.get("max_usage") or 0, memory.get("usage") or 0, progress.peak_memory or 0)
            progress.peak_memory = peak or None
            if progress.cpu_time is not None and progress.cpu_time > job.limits.cpu_time:
                self._end("cpu_limit")

    async def _exited(self, exit_code: int, job: Job) -> Exited:
        progress = self._progress
        oom = await self._daemon.oom_killed()
        status = progress.ended_by or "exited"
        if status == "exited" and oom and exit_code == _EXIT_SIGKILL:
            status = "out_of_memory"
        hits = {
            "wall_time": status == "timed_out",
            "cpu_time": status == "cpu_limit",
            "output": status == "output_limit",
            "memory": oom,
        }
        wall = anyio.current_time() - progress.started
        return Exited(
            status=status,
            exit_code=exit_code if status == "exited" else None,
            usage=Usage(
                wall_time=wall,
                cpu_time=progress.cpu_time,
                peak_memory=progress.peak_memory,
                stdout_bytes=progress.sizes["stdout"],
                stderr_bytes=progress.sizes["stderr"],
            ),
            limits_hit={name: 1 for name, hit in hits.items() if hit},
        )
