"""Which engine: the one that is asked for, or the first that is there."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sandbox_runner.engines import Engine
from sandbox_runner.errors import EngineUnavailable

DOCKER, OCI = "docker", "oci"


def names_docker(docker_host: str | None) -> bool:
    """Whether the operator gave the address of a Docker engine, so that no other will do."""
    return bool(docker_host or os.environ.get("DOCKER_HOST"))


@asynccontextmanager
async def open_engine(
    engine: str, *, docker_host: str | None, oci_runtime: str | None
) -> AsyncIterator[tuple[str, Engine]]:
    """The engine, with its name. ``auto`` is the Docker engine that answers, else the embedded one.

    An address that is given, also as DOCKER_HOST, means Docker.
    Raises EngineUnavailable or ControlNotEnforced.
    """
    async with AsyncExitStack() as stack:
        if engine == OCI:
            yield OCI, await stack.enter_async_context(_oci(oci_runtime))
            return
        try:
            chosen = DOCKER, await stack.enter_async_context(_docker(docker_host))
        except EngineUnavailable as missing:
            if engine == DOCKER or names_docker(docker_host):
                raise
            chosen = OCI, await stack.enter_async_context(_instead(oci_runtime, missing))
        yield chosen


@asynccontextmanager
async def _instead(oci_runtime: str | None, missing: EngineUnavailable) -> AsyncIterator[Engine]:
    try:
        context = _oci(oci_runtime)
        engine = await context.__aenter__()
    except EngineUnavailable:
        raise missing from None
    try:
        yield engine
    finally:
        await context.__aexit__(None, None, None)


@asynccontextmanager
async def _docker(docker_host: str | None) -> AsyncIterator[Engine]:
    from sandbox_runner.engines.docker.engine import open_docker_engine  # noqa: PLC0415 - the SDK, for those who use it

    async with open_docker_engine(docker_host) as engine:
        yield engine


@asynccontextmanager
async def _oci(oci_runtime: str | None) -> AsyncIterator[Engine]:
    from sandbox_runner.engines.oci.engine import open_oci_engine  # noqa: PLC0415 - as above

    async with open_oci_engine(oci_runtime) as engine:
        yield engine
