"""An engine's own calls without us around them: what the whole path is compared with."""

import asyncio
import json
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from sandbox_runner.bench.cold import REQUEST
from sandbox_runner.bench.peers import PRINTED, PROGRAM, Peer, read_all, spawn
from sandbox_runner.bench.plan import Subject
from sandbox_runner.engines.choice import DOCKER, open_engine
from sandbox_runner.errors import EngineError
from sandbox_runner.languages import find_language
from sandbox_runner.placement import Placements
from sandbox_runner.policy import admit
from sandbox_runner.request import LOCAL_USER
from sandbox_runner.spec import ContainerSpec, Image, Placement

if TYPE_CHECKING:
    from sandbox_runner.engines.oci.runtime import Runtime

Once = Callable[[int], Awaitable[None]]
_CGROUP = "sandbox-runner-bench"


def call_name(engine: str) -> str:
    """What such a call of ``engine`` is called."""
    kind, _, runtime = engine.partition("+")
    if kind == DOCKER:
        return "raw calls" + (f", {runtime}" if runtime else "")
    return f"{runtime} run"


@asynccontextmanager
async def docker_calls(subject: Subject) -> AsyncIterator[Once]:
    """Create, start, kill and remove the very container that a run has, without waiting for it."""
    from sandbox_runner.engines.docker.connection import connect  # noqa: PLC0415 - the SDK, for those who use it
    from sandbox_runner.engines.docker.mapping import create_body  # noqa: PLC0415 - as above
    from sandbox_runner.engines.docker.removal import ensure_removed  # noqa: PLC0415 - as above

    image = await _image(subject)
    placements = Placements(secrets.token_hex(8))
    client = await to_thread.run_sync(connect, subject.config.docker_host)

    def calls() -> None:
        with placements.lease() as placement:
            spec = _spec(subject, image, placement)
            made = client.create_container_from_config(create_body(spec), name=spec.name)["Id"]
            client.start(made)
            ensure_removed(client, made, patience=0)

    async def once(_slot: int) -> None:
        await to_thread.run_sync(calls)

    try:
        yield once
    finally:
        client.close()


@asynccontextmanager
async def runtime_calls(subject: Subject, slots: int) -> AsyncIterator[Once]:
    """``crun run`` (or ``runc run``) of the config.json that a run has, its program the bare interpreter.

    The runtime makes the cgroups itself. Each of the ``slots``, which may be used at one time, has a bundle.
    """
    from sandbox_runner.engines.oci import cgroups, launcher  # noqa: PLC0415 - for Linux alone
    from sandbox_runner.engines.oci.runtime import find_runtime  # noqa: PLC0415 - as above

    image = await _image(subject)
    hierarchies = cgroups.find_hierarchies()
    runtime = find_runtime(subject.config.oci_runtime, unified=hierarchies.unified)
    prepare = launcher.hide_unified if runtime.hides_unified else None
    threads = ThreadPoolExecutor(slots, initializer=prepare)
    placements = Placements(secrets.token_hex(8))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-runner-bench-")))
        stack.callback(_remove_parent, hierarchies.folders)
        stack.callback(threads.shutdown)
        calls = []
        for slot in range(slots):
            spec = _spec(subject, image, stack.enter_context(placements.lease()))
            bundle = folder / str(slot)
            users = _user_namespace(spec, runtime, stack)
            _write_bundle(bundle, spec, runtime, users)
            name = f"{_CGROUP}-{placements.instance}-{slot}"
            words = (
                *(runtime.path, "--root", str(folder / "state"), *runtime.flags),
                *("run", "--bundle", str(bundle), name),
            )
            calls.append(
                Peer(f"{runtime.name} run", words, "", env=(("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),))
            )

        async def once(slot: int) -> None:
            await asyncio.wrap_future(threads.submit(_run, calls[slot]))

        yield once


def _run(call: Peer) -> None:
    if spawn(call, None, read_all).value != PRINTED:
        raise EngineError(f"{call.name} did not run the program.")


def _user_namespace(spec: ContainerSpec, runtime: "Runtime", stack: ExitStack) -> str | None:
    """The path of the user namespace that a run's container is in; None where it has none."""
    from sandbox_runner.engines.oci.users import make_user_namespace, why_none  # noqa: PLC0415 - as above

    if why_none(runtime) is not None:
        return None
    descriptor = make_user_namespace(spec.uid, spec.gid)
    stack.callback(os.close, descriptor)
    return f"/proc/{os.getpid()}/fd/{descriptor}"


def _write_bundle(bundle: Path, spec: ContainerSpec, runtime: "Runtime", users: str | None) -> None:
    from sandbox_runner.engines.gvisor import for_sentry  # noqa: PLC0415 - as above
    from sandbox_runner.engines.oci import cgroups, sentry  # noqa: PLC0415 - as above
    from sandbox_runner.engines.oci.compiled import filter_annotation  # noqa: PLC0415 - as above
    from sandbox_runner.engines.oci.mapping import bundle_config  # noqa: PLC0415 - as above
    from sandbox_runner.engines.oci.store import rootfs_of  # noqa: PLC0415 - as above

    cgroup = f"{_CGROUP}/{spec.name}"
    counters = {} if runtime.has_sentry else cgroups.counters(cgroups.find_hierarchies(), cgroup)
    config: dict[str, Any] = bundle_config(
        for_sentry(spec) if runtime.has_sentry else spec,
        rootfs=rootfs_of(spec.image.id),
        cgroup=cgroup,
        counters=counters,
        annotations=filter_annotation(spec.seccomp) if runtime.takes_filter else {},
        users=users,
    )
    if runtime.has_sentry:
        sentry.adapt(config)
    config["process"]["args"] = ["/usr/bin/python3", "-I", "-c", PROGRAM]
    bundle.mkdir()
    (bundle / "config.json").write_text(json.dumps(config), "utf-8")


def _remove_parent(folders: tuple[Path, ...]) -> None:
    for folder in folders:
        with suppress(OSError):
            (folder / _CGROUP).rmdir()


async def _image(subject: Subject) -> Image:
    config = subject.config
    opening = open_engine(config.engine, docker_host=config.docker_host, oci_runtime=config.oci_runtime)
    async with opening as (_, engine):
        return await engine.image(find_language("python").image)


def _spec(subject: Subject, image: Image, placement: Placement) -> ContainerSpec:
    return admit(
        subject.config.policy(),
        REQUEST,
        LOCAL_USER,
        language=find_language("python"),
        image=image,
        placement=placement,
    ).spec
