"""`Engine` over a Docker-compatible daemon."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from anyio import to_thread

from sandbox_runner.definitions import LABEL_AGENT, image_tag, is_current
from sandbox_runner.engines import EngineFacts
from sandbox_runner.engines.docker.calls import Caller, repeatable
from sandbox_runner.engines.docker.connection import connect, find_address, is_local
from sandbox_runner.engines.docker.container import DockerContainer, created
from sandbox_runner.errors import ImageNotFound
from sandbox_runner.spec import ContainerSpec, Image

if TYPE_CHECKING:
    from docker import APIClient


class DockerEngine:
    """A connected daemon. Made by `open_docker_engine`."""

    def __init__(self, client: "APIClient", address: str) -> None:
        self._client = client
        self._call = Caller(address)
        self._local = is_local(address)

    async def image(self, name: str) -> Image:
        tag = image_tag(name)
        try:
            found = await self._call(repeatable(lambda: self._client.inspect_image(tag or name)))
        except ImageNotFound:
            raise ImageNotFound(_missing(name, ours=tag is not None)) from None
        labels = (found.get("Config") or {}).get("Labels") or {}
        if LABEL_AGENT in labels and not is_current(labels):
            raise ImageNotFound("The images are older than this version: sandbox-runner setup")
        return Image(id=found["Id"], name=name, agent=LABEL_AGENT in labels)

    def create(self, spec: ContainerSpec) -> AbstractAsyncContextManager[DockerContainer]:
        return created(self._client, self._call, spec, swap_free=self._swap_free)

    def _swap_free(self) -> bool:
        """Whether the engine's machine is known to have no swap."""
        import psutil  # noqa: PLC0415 - few engines cannot limit swap

        return self._local and psutil.swap_memory().total == 0

    async def facts(self) -> EngineFacts:
        info = await self._call(repeatable(self._client.info))
        import psutil  # noqa: PLC0415 - a single run does not ask

        memory = psutil.virtual_memory().available if self._local else int(info["MemTotal"])
        return EngineFacts(cpus=int(info["NCPU"]), memory=memory, local=self._local)


def _missing(name: str, *, ours: bool) -> str:
    if ours:
        return f"The image for {name!r} is not built yet; run: sandbox-runner setup"
    return f"Image {name!r} is not on the engine; load it there first, for instance: docker pull {name}"


@asynccontextmanager
async def open_docker_engine(docker_host: str | None) -> AsyncIterator[DockerEngine]:
    """The daemon at ``docker_host``, or the one that is found. Raises EngineUnavailable."""
    client = await to_thread.run_sync(connect, docker_host)
    try:
        yield DockerEngine(client, find_address(docker_host))
    finally:
        client.close()
