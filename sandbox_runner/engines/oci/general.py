"""A container of an image without our agent: its program runs as it is, held from outside.

It is made in two steps, so that the program runs only when the host has seen that every control holds it.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import anyio
from anyio import to_thread

from sandbox_runner.engines import Emit
from sandbox_runner.engines.agent_lane import ChannelEnded
from sandbox_runner.engines.general_lane import Counts, GeneralLane, Handles
from sandbox_runner.engines.oci import cgroups
from sandbox_runner.engines.oci.bundles import runtime_root
from sandbox_runner.engines.oci.container import EXIT_TIME
from sandbox_runner.engines.oci.inventory import remove
from sandbox_runner.engines.oci.launcher import start
from sandbox_runner.engines.oci.pipes import Pipes
from sandbox_runner.engines.oci.starting import (
    START_TIME,
    Launched,
    Means,
    bundle_of,
    ended,
    exit_code,
    kill,
    launch,
    open_process,
    refused,
    require_controls,
)
from sandbox_runner.engines.oci.tracing import Traced
from sandbox_runner.errors import ControlNotEnforced, StartFailed
from sandbox_runner.events import Exited, Status, Usage
from sandbox_runner.hardening import LABEL_RUN
from sandbox_runner.spec import ContainerSpec, Job, ResolvedLimits

T = TypeVar("T")

SAMPLE_INTERVAL = 0.05  # seconds; two small files are read


class ForeignContainer:
    """One sandbox that this process started, with a program that knows nothing of us."""

    def __init__(self, spec: ContainerSpec, pipes: Pipes, means: Means) -> None:
        self.id = spec.name
        self._spec = spec
        self._means = means
        self._bundle = bundle_of(spec)
        self._root = runtime_root(means.runtime.name)
        self._path = cgroups.cgroup_path(spec)
        self._pipes = pipes
        self._pid = 0
        self._process: int | None = None  # a descriptor of PID 1
        self._traced: Traced | None = None
        self._cpu_before = 0.0  # seconds that the runtime itself took there
        self._lane = GeneralLane(pipes, self._handles(), spec.labels[LABEL_RUN])

    async def start(self) -> None:
        """Has PID 1 made, which waits, confined already but for the seccomp filter."""
        runtime = await self._means.launcher(self._launch)
        self._pipes.close_theirs()
        code = await ended(runtime)
        pid = self._bundle.pid()
        if code != 0 or pid is None:
            raise self._refused()
        self._process = open_process(pid, self._path)
        self._pid = pid

    async def prepare(self) -> None:
        """Nothing in it waits for a job."""

    async def execute(self, job: Job, emit: Emit) -> Exited:
        began = anyio.current_time()
        try:
            return await self._lane.execute(job, emit)
        except ChannelEnded:
            usage = Usage(wall_time=anyio.current_time() - began)
            if killed := cgroups.oom_kills(self._means.hierarchies, self._path):
                return Exited(status="out_of_memory", usage=usage, limits_hit={"memory": killed})
            return Exited(status="signaled", signal=signal.SIGKILL, reason="sandbox_broken", usage=usage)

    async def lost(self) -> None:
        assert self._process is not None
        await anyio.wait_readable(self._process)

    async def why_lost(self) -> Status:
        killed = cgroups.oom_kills(self._means.hierarchies, self._path)
        return "out_of_memory" if killed else "signaled"

    async def cpu_time(self) -> float | None:
        return cgroups.cpu_time(self._means.hierarchies, self._path)

    async def resize(self, limits: ResolvedLimits) -> None:
        raise ControlNotEnforced("The limits of this container cannot be changed; make another one.")

    async def cancel(self) -> None:
        await self._lane.cancel()

    async def end(self) -> None:
        """Ends what runs; returns when all of the container is gone."""
        kill(self._process)
        if self._process is not None:
            with anyio.move_on_after(EXIT_TIME):
                await anyio.wait_readable(self._process)
            os.close(self._process)
            self._process = None
        if self._traced is not None:
            await _over(self._traced.ended)
        self._pipes.close()
        await to_thread.run_sync(remove, self._bundle)

    def _handles(self) -> Handles:
        async def kill_it() -> None:
            kill(self._process)

        return Handles(
            start=self._begin,
            wait=self._wait,
            counts=self._counts,
            oom_kills=self._oom_kills,
            kill=kill_it,
            interval=SAMPLE_INTERVAL,
            last=True,
        )

    async def _begin(self) -> None:
        """Lets PID 1 execute the program, and looks at it before it does anything."""
        self._traced = Traced(self._pid, self._look)
        await _result(self._traced.held)
        begun = await self._means.launcher(self._let_begin)
        if await exit_code(begun) != 0:
            raise self._refused()
        with anyio.move_on_after(START_TIME) as waiting:
            await _result(self._traced.begun)
        if waiting.cancelled_caught:
            raise StartFailed("The container's program did not begin; the host may be overloaded.")

    async def _wait(self) -> int:
        assert self._traced is not None
        code = await _result(self._traced.ended)
        if code < 0:  # the init reports a program's death as its own exit code
            raise ChannelEnded("the container was killed")
        return code

    async def _counts(self) -> Counts:
        used = cgroups.cpu_time(self._means.hierarchies, self._path)
        return Counts(
            cpu_time=None if used is None else max(0.0, used - self._cpu_before),
            peak_memory=cgroups.peak_memory(self._means.hierarchies, self._path),
        )

    async def _oom_kills(self, _await_news: bool) -> int:  # the kernel has counted it by the end
        return cgroups.oom_kills(self._means.hierarchies, self._path)

    def _look(self) -> None:
        hierarchies = self._means.hierarchies
        require_controls(self._pid, self._spec, self._means)
        self._cpu_before = cgroups.cpu_time(hierarchies, self._path) or 0.0
        cgroups.forget_peak(hierarchies, self._path)

    def _launch(self) -> Launched:
        command = self._means.runtime.create(
            self.id,
            bundle=self._bundle.folder,
            root=self._root,
            pid_file=self._bundle.pid_file,
            log=self._bundle.log_file,
        )
        stdin, stdout, stderr = self._pipes.theirs
        return launch(self._spec, self._means, command, stdio=(stdin, stdout, stderr))

    def _let_begin(self) -> int:
        command = self._means.runtime.begin(self.id, root=self._root, log=self._bundle.log_file)
        nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            return start(
                self._means.program,
                command,
                stdio=(nowhere, nowhere, nowhere),
                hierarchies=self._means.hierarchies,
                joined=None,
            )
        finally:
            os.close(nowhere)

    def _refused(self) -> Exception:
        messages = b""
        with suppress(OSError):
            messages = self._bundle.log_file.read_bytes()
        return refused(self._means.runtime, messages)


@asynccontextmanager
async def created_foreign(spec: ContainerSpec, means: Means) -> AsyncIterator[ForeignContainer]:
    """A container that is gone when the context ends, however it ends; its program has not begun."""
    container = ForeignContainer(spec, Pipes(), means)
    try:
        await container.start()
        yield container
    finally:
        with anyio.CancelScope(shield=True):
            await container.end()


async def _result(future: "Future[T]") -> T:
    """What a thread came to. A cancellation leaves the thread to go on."""
    await _over(future)
    return future.result()


async def _over(future: "Future[T]") -> None:
    wrapped = asyncio.wrap_future(future)
    wrapped.add_done_callback(_seen)
    await asyncio.wait((wrapped,))


def _seen(future: "asyncio.Future[T]") -> None:
    """Keeps asyncio from reporting a failure that `_result` raises."""
    if not future.cancelled():
        future.exception()
