"""A container of the embedded engine, from bundle to removal."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import anyio
from anyio import to_thread

from sandbox_runner.engines import Emit
from sandbox_runner.engines.agent_lane import AgentLane, ChannelEnded
from sandbox_runner.engines.oci import cgroups, evidence
from sandbox_runner.engines.oci.bundles import Bundle, runtime_root
from sandbox_runner.engines.oci.channel import PairChannel
from sandbox_runner.engines.oci.compiled import filter_annotation
from sandbox_runner.engines.oci.init import with_init
from sandbox_runner.engines.oci.inventory import remove
from sandbox_runner.engines.oci.launcher import Launcher, start
from sandbox_runner.engines.oci.mapping import bundle_config
from sandbox_runner.engines.oci.runtime import Runtime
from sandbox_runner.engines.oci.store import rootfs_of
from sandbox_runner.errors import ControlNotEnforced, StartFailed
from sandbox_runner.events import Exited, Status, Usage
from sandbox_runner.hardening import LABEL_INSTANCE, LABEL_RUN
from sandbox_runner.spec import ContainerSpec, Job, ResolvedLimits

START_TIME = 30  # seconds for the runtime: a loaded host may be slow
EXIT_TIME = 0.5  # seconds for the agent to see that its channel is closed
CANCEL_TIME = 0.5  # seconds for the agent to end the program before the container is killed
_REASON = 300  # characters of a runtime's message that are shown


@dataclass(frozen=True, slots=True)
class Means:
    """What an engine makes its containers with."""

    runtime: Runtime
    hierarchies: cgroups.Hierarchies
    launcher: Launcher
    program: str  # what is executed: the runtime, or a sealed copy of it


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
        self._lane = AgentLane(channel, spec.labels[LABEL_RUN])

    async def start(self) -> None:
        """Starts PID 1, waits for the agent, and looks whether every control holds it."""
        runtime = await self._means.launcher(self._launch)
        self._channel.close_theirs()
        code = await exit_code(runtime)
        pid = self._bundle.pid()
        if code != 0 or pid is None:
            raise refused(self._means.runtime, self._channel.messages)
        self._process = open_process(pid, self._path)
        await self._lane.greet()
        limited = ("",) if self._means.hierarchies.unified else tuple(self._means.hierarchies.needed)
        cgroups.require_limits(self._means.hierarchies, self._path, self._spec)
        evidence.require_controls(pid, self._spec, self._path, limited=limited)

    async def prepare(self) -> None:
        if self._spec.preload:
            await self._lane.preload(self._spec.preload)

    async def execute(self, job: Job, emit: Emit) -> Exited:
        began = anyio.current_time()
        before = cgroups.oom_kills(self._means.hierarchies, self._path)
        try:
            return await self._lane.execute(job, emit)
        except ChannelEnded:
            if self._cancelled:
                return self._lost("cancelled", began, {})
            killed = cgroups.oom_kills(self._means.hierarchies, self._path) - before
            if killed > 0:
                return self._lost("out_of_memory", began, {"memory": killed})
            return self._lost("signaled", began, {})

    async def lost(self) -> None:
        assert self._process is not None
        await anyio.wait_readable(self._process)

    async def resize(self, limits: ResolvedLimits) -> None:
        held = self._spec.limits
        if all(getattr(limits, name) == getattr(held, name) for name in cgroups.RESIZABLE):
            return
        self._spec = replace(self._spec, limits=limits)
        cgroups.resize(self._means.hierarchies, self._path, limits)
        cgroups.require_limits(self._means.hierarchies, self._path, self._spec)

    async def cancel(self) -> None:
        self._cancelled = True
        await self._lane.cancel()
        await anyio.sleep(CANCEL_TIME)
        self._kill()

    async def end(self) -> None:
        """Ends what runs; returns when all of the container is gone."""
        self._channel.close()
        if self._process is not None:
            with anyio.move_on_after(EXIT_TIME):
                await anyio.wait_readable(self._process)
            self._kill()
            os.close(self._process)
            self._process = None
        await to_thread.run_sync(remove, self._bundle)

    def _launch(self) -> int:
        command = self._means.runtime.run(
            self.id,
            bundle=self._bundle.folder,
            root=runtime_root(self._means.runtime.name),
            pid_file=self._bundle.pid_file,
        )
        return launch(self._spec, self._means, command, stdio=self._channel.stdio)

    def _kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):  # it ended by itself in the meantime
                signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def _lost(self, status: Status, began: float, limits_hit: dict[str, int]) -> Exited:
        return Exited(
            status=status,
            signal=signal.SIGKILL if status == "signaled" else None,
            reason="sandbox_broken",
            usage=Usage(wall_time=anyio.current_time() - began),
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


def launch(spec: ContainerSpec, means: Means, command: list[str], *, stdio: tuple[int, int, int]) -> int:
    """Writes the bundle, makes the cgroups and starts the runtime; its process id. For the launcher's thread.

    Raises ControlNotEnforced, StartFailed or OSError.
    """
    path = cgroups.cgroup_path(spec)
    config = bundle_config(
        spec,
        rootfs=rootfs_of(spec.image.id),
        cgroup=path,
        counters=cgroups.counters(means.hierarchies, path),
        annotations=filter_annotation(spec.seccomp) if means.runtime.takes_filter else {},
    )
    bundle_of(spec).write(config if spec.image.agent else with_init(config))
    cgroups.make_cgroups(means.hierarchies, path, spec)
    joined = path if means.runtime.joins else None
    return start(means.program, command, stdio=stdio, hierarchies=means.hierarchies, joined=joined)


def bundle_of(spec: ContainerSpec) -> Bundle:
    """The folder of the container."""
    return Bundle(spec.labels[LABEL_INSTANCE], spec.name)


async def exit_code(pid: int) -> int:
    """The exit code of a runtime, waited for also through a cancellation: what it made must be known."""
    descriptor = os.pidfd_open(pid)
    try:
        with anyio.CancelScope(shield=True), anyio.move_on_after(START_TIME) as waiting:
            await anyio.wait_readable(descriptor)
        if waiting.cancelled_caught:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])  # noqa: ASYNC222 - it has ended
    finally:
        os.close(descriptor)


def open_process(pid: int, path: str) -> int:
    """A descriptor of the process ``pid`` in the cgroup at ``path``. Raises StartFailed where it is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError as error:
        raise StartFailed("The container ended before it could be used; try again.") from error
    # Looked at after it is open: then the descriptor is that of the process that is in the cgroup.
    if not evidence.is_in_cgroup(pid, path):
        os.close(descriptor)
        raise StartFailed("The container ended before it could be used; try again.")
    return descriptor


def refused(runtime: Runtime, messages: bytes) -> Exception:
    """What to raise where the runtime made no container and said ``messages``."""
    text = messages.decode(errors="replace").strip()
    reason = " ".join(text.split())[-_REASON:] or "it gave no reason"
    if "no space left on device" in text.lower():
        return StartFailed("The disk that holds /run is full; free some space, then try again.")
    if "seccomp" in text:
        return ControlNotEnforced(
            f"{runtime.name} cannot apply our seccomp profile, so nothing was run: {reason}"
        )
    return StartFailed(f"{runtime.name} refused the container: {reason}")
