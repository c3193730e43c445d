"""From a spec to a container's first process, and the host's look at it: what both lanes share."""

import os
import signal
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import anyio

from sandbox_runner.engines.oci import cgroups, evidence, sentry
from sandbox_runner.engines.oci.bundles import Bundle
from sandbox_runner.engines.oci.compiled import filter_annotation
from sandbox_runner.engines.oci.init import with_init
from sandbox_runner.engines.oci.launcher import Launcher, start
from sandbox_runner.engines.oci.mapping import bundle_config, in_words
from sandbox_runner.engines.oci.runtime import Runtime
from sandbox_runner.engines.oci.store import rootfs_of
from sandbox_runner.engines.oci.users import make_user_namespace
from sandbox_runner.errors import ControlNotEnforced, StartFailed
from sandbox_runner.hardening import LABEL_INSTANCE
from sandbox_runner.spec import ContainerSpec

START_TIME = 30  # seconds for the runtime: a loaded host may be slow
_REASON = 300  # characters of a runtime's message that are shown


@dataclass(frozen=True, slots=True)
class Means:
    """What an engine makes its containers with."""

    runtime: Runtime
    hierarchies: cgroups.Hierarchies
    launcher: Launcher
    program: str  # what is executed: the runtime, or a sealed copy of it
    no_users: str | None  # why containers have no user namespaces; None where they have


@dataclass(frozen=True, slots=True)
class Launched:
    """A runtime's process, and the descriptor of a user namespace that it is to join."""

    pid: int
    users: int | None


def launch(spec: ContainerSpec, means: Means, command: list[str], *, stdio: tuple[int, int, int]) -> Launched:
    """Writes the bundle, makes the cgroups and starts the runtime, in the launcher's thread: then `ended`.

    Raises ControlNotEnforced, StartFailed or OSError.
    """
    users = None if means.no_users is not None else _users_of(spec)
    with ExitStack() as on_failure:
        if users is not None:
            on_failure.callback(os.close, users)
        launched = Launched(_start(spec, means, command, stdio, users), users)
        on_failure.pop_all()
    return launched


def _start(
    spec: ContainerSpec, means: Means, command: list[str], stdio: tuple[int, int, int], users: int | None
) -> int:
    path = cgroups.cgroup_path(spec)
    # The sentry shows counters of its own; those of the host would be files that it has to open.
    shown = {} if means.runtime.has_sentry else cgroups.counters(means.hierarchies, path)
    config = bundle_config(
        spec,
        rootfs=rootfs_of(spec.image.id),
        cgroup=path,
        counters=shown,
        annotations=filter_annotation(spec.seccomp) if means.runtime.takes_filter else {},
        users=None if users is None else f"/proc/{os.getpid()}/fd/{users}",
    )
    if means.runtime.has_sentry:
        sentry.adapt(config)
    config = config if spec.image.agent else with_init(config)
    bundle_of(spec).write(in_words(config, spec.seccomp))
    cgroups.make_cgroups(means.hierarchies, path, spec)
    joined = path if means.runtime.joins else None
    return start(means.program, command, stdio=stdio, hierarchies=means.hierarchies, joined=joined)


def _users_of(spec: ContainerSpec) -> int:
    try:
        return make_user_namespace(spec.uid, spec.gid)
    except OSError as error:
        raise ControlNotEnforced(
            f"No user namespace can be made any more ({error.strerror}), so nothing was run; "
            "look at the setting user.max_user_namespaces of the kernel."
        ) from error


async def ended(launched: Launched) -> int:
    """The exit code of the runtime; its namespace is the container's alone after that."""
    try:
        return await exit_code(launched.pid)
    finally:
        if launched.users is not None:
            os.close(launched.users)


def kill(process: int | None) -> None:
    """Kills the process of this descriptor, if there is one. Harmless where it has ended by itself."""
    if process is not None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)


def require_controls(pid: int, spec: ContainerSpec, means: Means) -> None:
    """The host's own look at a container's first process. Raises ControlNotEnforced."""
    path = cgroups.cgroup_path(spec)
    cgroups.require_limits(means.hierarchies, path, spec)
    if means.runtime.has_sentry:
        sentry.require_controls(pid, spec, path, means.runtime, bundle_of(spec))
        return
    limited = ("",) if means.hierarchies.unified else tuple(means.hierarchies.needed)
    evidence.require_controls(pid, spec, path, limited=limited, users=means.no_users is None)


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
