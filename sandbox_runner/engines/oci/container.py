"""A container of the embedded engine, from bundle to removal."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import anyio
from anyio import to_thread

from sandbox_runner.engines import Emit, gvisor
from sandbox_runner.engines.agent_lane import AgentLane, ChannelEnded
from sandbox_runner.engines.oci import cgroups, evidence, sentry
from sandbox_runner.engines.oci.bundles import Bundle, runtime_root
from sandbox_runner.engines.oci.channel import PairChannel
from sandbox_runner.engines.oci.compiled import filter_annotation
from sandbox_runner.engines.oci.inventory import remove
from sandbox_runner.engines.oci.launcher import Launcher, start
from sandbox_runner.engines.oci.mapping import bundle_config
from sandbox_runner.engines.oci.runtime import Runtime
from sandbox_runner.engines.oci.store import rootfs_of
from sandbox_runner.engines.oci.users import make_user_namespace
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
    no_users: str | None  # why containers have no user namespaces; None where they have


class OciContainer:
    """One sandbox that this process started."""

    def __init__(self, spec: ContainerSpec, channel: PairChannel, means: Means) -> None:
        self.id = spec.name
        self._spec = spec
        self._means = means
        self._bundle = Bundle(spec.labels[LABEL_INSTANCE], spec.name)
        self._path = cgroups.cgroup_path(spec)
        self._channel = channel
        self._cancelled = False
        self._process: int | None = None  # a descriptor of PID 1
        self._users: int | None = None  # a descriptor of its user namespace, until the runtime has joined it
        self._lane = AgentLane(channel, spec.labels[LABEL_RUN])

    async def start(self) -> None:
        """Starts PID 1, waits for the agent, and looks whether every control holds it."""
        runtime = await self._means.launcher(self._launch)
        self._channel.close_theirs()
        code = await _exit_code(runtime)
        self._forget_users()
        pid = self._bundle.pid()
        if code != 0 or pid is None:
            raise _refused(self._means.runtime, self._channel.messages)
        self._process = _open_process(pid, self._path)
        await self._lane.greet()
        limited = ("",) if self._means.hierarchies.unified else tuple(self._means.hierarchies.needed)
        cgroups.require_limits(self._means.hierarchies, self._path, self._spec)
        if self._means.runtime.has_sentry:
            sentry.require_controls(pid, self._spec, self._path, self._means.runtime, self._bundle)
        else:
            users = self._means.no_users is None
            evidence.require_controls(pid, self._spec, self._path, limited=limited, users=users)

    async def prepare(self) -> None:
        if self._spec.preload:
            await self._lane.preload(self._spec.preload)

    async def execute(self, job: Job, emit: Emit) -> Exited:
        began = anyio.current_time()
        before = cgroups.oom_kills(self._means.hierarchies, self._path)
        try:
            exited = await self._lane.execute(job, emit)
            return replace(exited, usage=self._with_peak(exited.usage))
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
        self._forget_users()
        await to_thread.run_sync(remove, self._bundle)

    def _launch(self) -> int:
        spec, means = self._spec, self._means
        # The sentry shows counters of its own; those of the host would be files that it has to open.
        shown = {} if means.runtime.has_sentry else cgroups.counters(means.hierarchies, self._path)
        config = bundle_config(
            spec,
            rootfs=rootfs_of(spec.image.id),
            cgroup=self._path,
            counters=shown,
            annotations=filter_annotation(spec.seccomp) if means.runtime.takes_filter else {},
            users=self._make_users(),
        )
        if means.runtime.has_sentry:
            sentry.adapt(config)
        self._bundle.write(config)
        cgroups.make_cgroups(means.hierarchies, self._path, spec)
        command = means.runtime.run(
            spec.name,
            bundle=self._bundle.folder,
            root=runtime_root(means.runtime.name),
            pid_file=self._bundle.pid_file,
        )
        joined = self._path if means.runtime.joins else None
        return start(
            means.program, command, stdio=self._channel.stdio, hierarchies=means.hierarchies, joined=joined
        )

    def _make_users(self) -> str | None:
        """The path of a new user namespace, for the runtime."""
        if self._means.no_users is not None:
            return None
        try:
            self._users = make_user_namespace(self._spec.uid, self._spec.gid)
        except OSError as error:
            raise ControlNotEnforced(
                f"No user namespace can be made any more ({error.strerror}), so nothing was run; "
                "look at the setting user.max_user_namespaces of the kernel."
            ) from error
        return f"/proc/{os.getpid()}/fd/{self._users}"

    def _forget_users(self) -> None:
        if self._users is not None:
            os.close(self._users)
            self._users = None

    def _kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):  # it ended by itself in the meantime
                signal.pidfd_send_signal(self._process, signal.SIGKILL)

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


async def _exit_code(pid: int) -> int:
    """Waits for the runtime, also through a cancellation: what it made must be known. Raises StartFailed."""
    descriptor = os.pidfd_open(pid)
    try:
        with anyio.CancelScope(shield=True), anyio.move_on_after(START_TIME) as waiting:
            await anyio.wait_readable(descriptor)
        if waiting.cancelled_caught:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])  # noqa: ASYNC222 - it has ended
    finally:
        os.close(descriptor)


def _open_process(pid: int, path: str) -> int:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError as error:
        raise StartFailed("The container ended before it could be used; try again.") from error
    # Looked at after it is open: then the descriptor is that of the process that is in the cgroup.
    if not evidence.is_in_cgroup(pid, path):
        os.close(descriptor)
        raise StartFailed("The container ended before it could be used; try again.")
    return descriptor


def _refused(runtime: Runtime, messages: bytes) -> Exception:
    text = messages.decode(errors="replace").strip()
    reason = " ".join(text.split())[-_REASON:] or "it gave no reason"
    if "no space left on device" in text.lower():
        return StartFailed("The disk that holds /run is full; free some space, then try again.")
    if "seccomp" in text:
        return ControlNotEnforced(
            f"{runtime.name} cannot apply our seccomp profile, so nothing was run: {reason}"
        )
    return StartFailed(f"{runtime.name} refused the container: {reason}")
