"""Runs that ask for packages, for tests: with a record of their own, of which nothing is left."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from package_indexes import Index

from sandbox_runner import Config, Runner, RunRequest, RunResult
from sandbox_runner.engines.choice import open_engine
from sandbox_runner.packages import kept, kept_packages


@asynccontextmanager
async def recorded_apart(index: Index, folder: Path, patch: pytest.MonkeyPatch) -> AsyncIterator[Config]:
    """Settings with ``index``, a record in ``folder``, and whatever they make gone in the end."""
    patch.setattr(kept, "state_folder", lambda: folder)
    yield Config(
        engine="docker", packages=("pip:*", "npm:*"), pip_index=f"{index.url}/simple", npm_registry=index.url,
        package_memory="512m", package_disk="128m",
    )  # fmt: skip
    for each in kept_packages():
        async with open_engine(each.engine, docker_host=each.address, oci_runtime=None) as (_, opened):
            await opened.discard(each.image)


async def run(config: Config, code: str, *packages: str, language: str = "python", **more) -> RunResult:
    async with Runner.open(config) as runner:
        return await runner.run(RunRequest(language=language, code=code, packages=packages, **more))
