"""A container of the embedded engine, from bundle to removal."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
from anyio import to_thread

from sandbox_runner.engines import Emit, gvisor
from sandbox_runner.engines.agent_lane import AgentLane, ChannelEnded
from sandbox_runner.engines.oci import cgroups
from sandbox_runner.engines.oci.bundles import runtime_root
from sandbox_runner.engines.oci.channel import PairChannel
from sandbox_runner.engines.oci.inventory import remove
from sandbox_runner.engines.oci.starting import (
    Launched,
    Means,
    bundle_of,
    ended,
    kill,
    launch,
    open_process,
    refused,
    require_controls,
)
from sandbox_runner.errors import ControlNotEnforced
from sandbox_runner.events import Exited, Status, Usage
from sandbox_runner.hardening import LABEL_RUN
from sandbox_runner.spec import ContainerSpec, Job, ResolvedLimits

EXIT_TIME = 0.5  # seconds for the agent to see that its channel is closed


class OciContainer:
    """One sandbox that this process started."""

    def __init__(self, spec: ContainerSpec, channel: PairChannel, means: Means) -> None:
        self.id = spec.name
        self._spec = spec
        self._means = means
        self._bundle = bundle_of(spec)
        self._path = cgroups.cgroup_path(spec)
        self._channel = channel
        self._cancelled = False
        self._process: int | None = None  # a descriptor of PID 1
        self._kills = 0  # for want of memory, until a job began or the last one ended
        self._lane = AgentLane(channel, spec.labels[LABEL_RUN])

    async def start(self) -> None:
        """Starts PID 1, waits for the agent, and looks whether every control holds it."""
        runtime = await self._means.launcher(self._launch)
        self._channel.close_theirs()
        code = await ended(runtime)
        pid = self._bundle.pid()
        if code != 0 or pid is None:
            raise refused(self._means.runtime, self._channel.messages)
        self._process = open_process(pid, self._path)
        await self._lane.greet()
        require_controls(pid, self._spec, self._means)

    async def prepare(self) -> None:
        if self._spec.preload:
            await self._lane.preload(self._spec.preload)

    async def execute(self, job: Job, emit: Emit) -> Exited:
        began = anyio.current_time()
        self._kills = self._oom_kills()
        try:
            exited = await self._lane.execute(job, emit)
            return replace(exited, usage=self._with_peak(exited.usage))
        except ChannelEnded:
            if self._cancelled:
                return self._lost("cancelled", began, {})
            killed = self._oom_kills() - self._kills
            if killed > 0:
                return self._lost("out_of_memory", began, {"memory": killed})
            return self._lost("signaled", began, {})
        finally:
            self._cancelled = False  # a session goes on
            self._kills = self._oom_kills()

    async def lost(self) -> None:
        assert self._process is not None
        await anyio.wait_readable(self._process)

    async def why_lost(self) -> Status:
        return "out_of_memory" if self._oom_kills() > self._kills else "signaled"

    async def cpu_time(self) -> float | None:
        return cgroups.cpu_time(self._means.hierarchies, self._path)

    async def resize(self, limits: ResolvedLimits) -> None:
        held = self._spec.limits
        if self._means.runtime.has_sentry:
            limits = gvisor.on_host(limits)
            if limits.pids != held.pids:
                raise ControlNotEnforced(
                    "runsc cannot change the limit of processes; make another container."
                )
        if all(getattr(limits, name) == getattr(held, name) for name in cgroups.RESIZABLE):
            return
        self._spec = replace(self._spec, limits=limits)
        cgroups.resize(self._means.hierarchies, self._path, limits)
        cgroups.require_limits(self._means.hierarchies, self._path, self._spec)

    async def cancel(self) -> None:
        self._cancelled = True
        await self._lane.cancel()
        await anyio.sleep(self._lane.patience)
        kill(self._process)

    async def end(self) -> None:
        """Ends what runs; returns when all of the container is gone."""
        self._channel.close()
        if self._process is not None:
            if not self._means.runtime.has_sentry:
                kill(self._process)  # its end is all others'; to end by itself would cost it more
            with anyio.move_on_after(EXIT_TIME):
                await anyio.wait_readable(self._process)
            kill(self._process)
            os.close(self._process)
            self._process = None
        await to_thread.run_sync(remove, self._bundle, self._path)

    def _launch(self) -> Launched:
        command = self._means.runtime.run(
            self.id,
            bundle=self._bundle.folder,
            root=runtime_root(self._means.runtime.name),
            pid_file=self._bundle.pid_file,
        )
        return launch(self._spec, self._means, command, stdio=self._channel.stdio)

    def _oom_kills(self) -> int:
        return cgroups.oom_kills(self._means.hierarchies, self._path)

    def _with_peak(self, usage: Usage) -> Usage:
        """``usage`` with the host's own reading where there is none from inside: gVisor shows none."""
        if usage.peak_memory is not None:
            return usage
        return replace(usage, peak_memory=cgroups.peak_memory(self._means.hierarchies, self._path))

    def _lost(self, status: Status, began: float, limits_hit: dict[str, int]) -> Exited:
        return Exited(
            status=status,
            signal=signal.SIGKILL if status == "signaled" else None,
            reason="sandbox_broken",
            usage=self._with_peak(Usage(wall_time=anyio.current_time() - began)),
            limits_hit=limits_hit,
        )


@asynccontextmanager
async def created(spec: ContainerSpec, means: Means) -> AsyncIterator[OciContainer]:
    """A started container that is gone when the context ends, however it ends."""
    container = OciContainer(spec, PairChannel(), means)
    try:
        await container.start()
        yield container
    finally:
        with anyio.CancelScope(shield=True):
            await container.end()
