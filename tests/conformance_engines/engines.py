"""The engines that the contract is tested on, each with what a test needs to see behind its back.

One more engine is one more function and one more line in `ENGINES`.
"""

import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

import docker.errors
from anyio import to_thread
from programs import answering

from sandbox_runner import Config
from sandbox_runner.definitions import REPOSITORY, image_tag
from sandbox_runner.engines import Engine
from sandbox_runner.engines.docker.connection import connect
from sandbox_runner.engines.docker.engine import open_docker_engine
from sandbox_runner.engines.docker.removal import ensure_removed, state_of
from sandbox_runner.engines.oci.bundles import Bundle, find_bundles
from sandbox_runner.engines.oci.cgroups import SLICE, find_hierarchies
from sandbox_runner.engines.oci.engine import open_oci_engine
from sandbox_runner.engines.oci.inventory import remove_instance
from sandbox_runner.engines.oci.store import find_stored, names_folder, store_name
from sandbox_runner.errors import StartFailed
from sandbox_runner.placement import Placements
from sandbox_runner.testing import FakeEngine


@dataclass(frozen=True, kw_only=True)
class Bench:
    """An engine under test. What is done behind its back is done at once, without it.

    ``rename(image, name)`` lets ``name`` mean our image ``image``. ``unusable`` is a setting with which
    nothing can be made. ``streams``: output arrives while its program runs.
    """

    engine: Engine
    config: Config
    placements: Placements
    kill: Callable[[str], None]
    exists: Callable[[str], bool]
    everything: Callable[[], list[str]]
    rename: Callable[[str, str], None]
    unusable: Callable[[], None]
    streams: bool = True


@asynccontextmanager
async def _docker(runtime: str, address: str | None = None) -> AsyncIterator[Bench]:
    client = await to_thread.run_sync(connect, address)
    placements = Placements(secrets.token_hex(8))
    renamed: list[str] = []

    def rename(image: str, name: str) -> None:
        renamed.append(name)
        client.tag(image_tag(image), name)

    def everything() -> list[str]:
        label = f"org.sandbox-runner.instance={placements.instance}"
        listed = [each["Id"] for each in client.containers(all=True, filters={"label": label})]
        return [each for each in listed if state_of(client, each) is not None]

    bench_config = Config(oci_runtime=runtime, docker_host=address)
    broken: dict[str, str] = {}
    try:
        async with open_docker_engine(address) as engine:
            yield Bench(
                engine=_Spoilt(engine, broken),
                config=bench_config,
                placements=placements,
                kill=client.kill,
                exists=lambda container: state_of(client, container) is not None,
                everything=everything,
                rename=rename,
                unusable=lambda: broken.update(oci_runtime="no-such-runtime"),
            )
    finally:
        for container in everything():
            ensure_removed(client, container, patience=0)
        for name in set(renamed):
            with suppress(docker.errors.ImageNotFound):
                client.remove_image(name)
        client.close()


class _Spoilt:
    """The engine, with specs changed where a test wants one that cannot be made."""

    def __init__(self, engine: Engine, changes: dict[str, str]) -> None:
        self._engine, self._changes = engine, changes
        self.image, self.facts, self.resizes = engine.image, engine.facts, engine.resizes
        self.derive, self.discard = engine.derive, engine.discard

    def create(self, spec):
        return self._engine.create(replace(spec, **self._changes))


@asynccontextmanager
async def _oci(runtime: str) -> AsyncIterator[Bench]:
    placements = Placements(secrets.token_hex(8))
    renamed: list[str] = []
    broken: dict[str, tuple[str, ...]] = {}
    instance = placements.instance

    def rename(image: str, name: str) -> None:
        renamed.append(name)
        store_name(name, find_stored(image))

    def kill(container: str) -> None:
        os.kill(Bundle(instance, container).pid(), signal.SIGKILL)

    def exists(container: str) -> bool:
        cgroups = [folder / SLICE / container for folder in find_hierarchies().folders]
        return any(path.exists() for path in (Bundle(instance, container).folder, *cgroups))

    try:
        async with open_oci_engine(runtime) as engine:
            yield Bench(
                engine=_Spoilt(engine, broken),
                config=Config(engine="oci", oci_runtime=runtime),
                placements=placements,
                kill=kill,
                exists=exists,
                everything=lambda: [bundle.name for bundle in find_bundles(instance=instance)],
                rename=rename,
                unusable=lambda: broken.update(argv=("/no/such/program",)),
            )
    finally:
        remove_instance(instance, set())
        for name in set(renamed):
            (names_folder(REPOSITORY) / name).unlink()


@asynccontextmanager
async def _fake() -> AsyncIterator[Bench]:
    engine = FakeEngine(answering())

    def refuse() -> None:
        engine.refusal = StartFailed("It cannot be made.")

    def rename(image: str, name: str) -> None:
        engine.images[name] = engine.images[image]

    yield Bench(
        engine=engine,
        config=Config(),
        placements=Placements(secrets.token_hex(8)),
        kill=engine.kill,
        exists=lambda container: container in engine.live,
        everything=lambda: sorted(engine.live),
        rename=rename,
        unusable=refuse,
        streams=False,
    )


REAL: dict[str, Callable[..., AbstractAsyncContextManager[Bench]]] = {
    "docker+runc": partial(_docker, "runc"),
    "docker+runsc": partial(_docker, "runsc"),
    "oci+crun": partial(_oci, "crun"),
    "oci+runc": partial(_oci, "runc"),
    "oci+runsc": partial(_oci, "runsc"),
}
"""That with docker+runsc takes the address of a daemon that has it."""

ENGINES = {**REAL, "fake": _fake}
