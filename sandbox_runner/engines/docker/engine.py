"""`Engine` over a Docker-compatible daemon."""

from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from anyio import to_thread

from sandbox_runner.engines import EngineFacts
from sandbox_runner.engines.docker import deriving
from sandbox_runner.engines.docker.begin import Beginning, find_image
from sandbox_runner.engines.docker.calls import Caller
from sandbox_runner.engines.docker.connection import connect, find_address, is_local
from sandbox_runner.engines.docker.container import DockerContainer, started
from sandbox_runner.engines.docker.faults import repeatable
from sandbox_runner.engines.docker.removal import CALM
from sandbox_runner.engines.docker.runtimes import Runtimes
from sandbox_runner.spec import ContainerSpec, Image

if TYPE_CHECKING:
    from docker import APIClient


class DockerEngine:
    """A connected daemon. Made by `open_docker_engine`."""

    resizes: Collection[str] = ()  # its update takes longer than it saves, and knows no tmpfs

    def __init__(self, client: "APIClient", address: str) -> None:
        self._client = client
        self._address = address
        self._call = Caller(address)
        self._runtimes = Runtimes(client)

    async def image(self, name: str) -> Image:
        return await self._call(lambda: find_image(self._client, name))

    def create(self, spec: ContainerSpec) -> AbstractAsyncContextManager[DockerContainer]:
        beginning = Beginning(self._client, self._address, spec, pause=CALM, runtimes=self._runtimes)
        return self.take_over(beginning)

    def take_over(self, beginning: Beginning) -> AbstractAsyncContextManager[DockerContainer]:
        """As `create`, for a container that may have begun already."""
        return started(self._client, self._call, beginning)

    async def derive(self, base: Image, name: str, layer: BinaryIO) -> None:
        await self._call(partial(deriving.derive, self._client, base, name, layer))

    async def discard(self, name: str) -> None:
        await self._call(partial(deriving.discard, self._client, name))

    async def facts(self) -> EngineFacts:
        info = await self._call(repeatable(self._client.info))
        import psutil  # noqa: PLC0415 - a single run does not ask

        local = is_local(self._address)
        memory = psutil.virtual_memory().available if local else int(info["MemTotal"])
        return EngineFacts(cpus=int(info["NCPU"]), memory=memory, local=local)


@asynccontextmanager
async def open_docker_engine(docker_host: str | None) -> AsyncIterator[DockerEngine]:
    """The daemon at ``docker_host``, or the one that is found. Raises EngineUnavailable."""
    client = await to_thread.run_sync(connect, docker_host)
    try:
        yield DockerEngine(client, find_address(docker_host))
    finally:
        client.close()
