"""`Engine` without a daemon: this process starts the containers itself."""

import os
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import BinaryIO

from anyio import to_thread

from sandbox_runner.definitions import LABEL_AGENT, image_tag, is_current
from sandbox_runner.engines import Container, EngineFacts
from sandbox_runner.engines.gvisor import for_sentry
from sandbox_runner.engines.oci import cgroups, deriving
from sandbox_runner.engines.oci.bundles import forget_instance
from sandbox_runner.engines.oci.container import created
from sandbox_runner.engines.oci.general import created_foreign
from sandbox_runner.engines.oci.launcher import Launcher, hide_unified
from sandbox_runner.engines.oci.runtime import find_runtime, program_of
from sandbox_runner.engines.oci.starting import Means
from sandbox_runner.engines.oci.store import find_stored
from sandbox_runner.engines.oci.users import why_none
from sandbox_runner.errors import ControlNotEnforced, EngineUnavailable, ImageNotFound
from sandbox_runner.hardening import LABEL_INSTANCE
from sandbox_runner.languages import describe_image, setup_command
from sandbox_runner.spec import ContainerSpec, Image


class OciEngine:
    """The embedded engine. Made by `open_oci_engine`."""

    def __init__(self, means: Means) -> None:
        self._means = means
        # Under runsc the number of processes is an rlimit of the program, which nothing changes from outside.
        fixed = {"pids"} if means.runtime.has_sentry else set()
        self.resizes: Collection[str] = tuple(each for each in cgroups.RESIZABLE if each not in fixed)
        self._slices: set[str] = set()
        self._instances: set[str] = set()

    async def image(self, name: str) -> Image:
        stored = find_stored(name)
        if stored is None:
            raise ImageNotFound(_missing(name))
        agent = LABEL_AGENT in stored.labels
        if (agent or not stored.name) and not is_current(stored.labels):
            raise ImageNotFound("The images are older than this version: sandbox-runner setup --engine oci")
        if agent:
            return Image(id=stored.id, name=name, agent=True)
        return Image(id=stored.id, name=name, agent=False, argv=stored.argv, env=stored.env, cwd=stored.cwd)

    def create(self, spec: ContainerSpec) -> AbstractAsyncContextManager[Container]:
        _require_enforceable(spec, self._means)
        parent = cgroups.cgroup_path(spec).rpartition("/")[0]
        if parent not in self._slices:
            cgroups.make_slice(self._means.hierarchies, parent)
            self._slices.add(parent)
        self._instances.add(spec.labels[LABEL_INSTANCE])
        if not spec.image.agent:
            return created_foreign(spec, self._means)
        return created(for_sentry(spec) if self._means.runtime.has_sentry else spec, self._means)

    async def derive(self, base: Image, name: str, layer: BinaryIO) -> None:
        await to_thread.run_sync(deriving.derive, base, name, layer)

    async def discard(self, name: str) -> None:
        await to_thread.run_sync(deriving.discard, name)

    def close(self) -> None:
        """Leaves no folder behind."""
        for instance in self._instances:
            forget_instance(instance)

    async def facts(self) -> EngineFacts:
        import psutil  # noqa: PLC0415 - a single run does not ask

        return EngineFacts(
            cpus=len(os.sched_getaffinity(0)), memory=psutil.virtual_memory().available, local=True
        )


def _missing(name: str) -> str:
    if image_tag(name):
        return f"The {describe_image(name)} is not unpacked yet; run: {setup_command(name)} --engine oci"
    return f"Image {name!r} is not here; bring it in first: sandbox-runner setup --engine oci --image {name}"


def _require_enforceable(spec: ContainerSpec, means: Means) -> None:
    """Raises ControlNotEnforced for what a bundle of ours would not say."""
    if spec.network != "none":
        raise ControlNotEnforced("The engine oci gives a container no network; leave network at none.")
    if not spec.image.agent and not means.runtime.makes_in_two_steps:
        raise ControlNotEnforced(
            f"With {means.runtime.name} the engine oci runs our own images only; set oci_runtime to crun."
        )
    if spec.capabilities or not spec.no_new_privileges or not spec.read_only_root:
        raise ControlNotEnforced("The engine oci runs sealed containers only.")
    if spec.require_user_namespace and means.no_users is not None:
        raise ControlNotEnforced(
            f"A container has no user namespace of its own on this machine ({means.no_users}), so nothing "
            "was run; change that, or switch require_user_namespace off."
        )


def require_usable() -> None:
    """Raises EngineUnavailable where this process cannot be an engine, naming all that is missing.

    Raises ControlNotEnforced where that cannot be found out for want of cgroups.
    """
    if sys.platform != "linux":
        raise EngineUnavailable("The engine oci needs Linux; use the engine docker here.")
    if os.geteuid() != 0:
        from sandbox_runner.engines.oci import rootless  # noqa: PLC0415 - root need not ask

        missing = rootless.told(rootless.find_unenforced(cgroups.find_hierarchies()))
        raise EngineUnavailable(
            f"The engine oci needs root here: this user cannot enforce {missing}. Run it as root, or use the "
            "engine docker."
        )


@asynccontextmanager
async def open_oci_engine(oci_runtime: str | None) -> AsyncIterator[OciEngine]:
    """The embedded engine over the runtime ``oci_runtime``, or the best that is installed.

    Raises EngineUnavailable or ControlNotEnforced.
    """
    require_usable()
    hierarchies = cgroups.find_hierarchies()
    runtime = find_runtime(oci_runtime, unified=hierarchies.unified)
    launcher = Launcher()
    try:
        if runtime.hides_unified:
            await launcher(hide_unified)
        with program_of(runtime) as program:
            no_users = await launcher(partial(why_none, runtime))
            engine = OciEngine(Means(runtime, hierarchies, launcher, program, no_users))
            try:
                yield engine
            finally:
                engine.close()
    finally:
        launcher.close()
