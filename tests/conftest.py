"""What tests share. A test that needs an engine and finds none fails: nothing here skips."""

import subprocess
from collections.abc import Iterator

import pytest

from sandbox_runner.engines.docker.connection import connect
from sandbox_runner.engines.docker.inventory import list_runs


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def docker_client():
    """A client of the engine that the tests run on."""
    client = connect(None)
    yield client
    client.close()


@pytest.fixture
def nothing_left(docker_client) -> Iterator[None]:
    """Fails the test that leaves a container, or a mount of one, behind."""
    before = {run.container_id for run in list_runs(docker_client)}
    yield
    # Docker 20.10 may go on listing as `removing` one that is gone for good.
    after = [run for run in list_runs(docker_client) if run.state != "removing"]
    left = [run for run in after if run.container_id not in before]
    assert left == []


@pytest.fixture
def sandbox_runner():
    """Calls the command line as a user does; returns the finished process."""

    def call(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
        import sys

        command = [sys.executable, "-m", "sandbox_runner", *arguments]
        options = {
            "capture_output": True,
            "text": True,
            "timeout": 120,
            "stdin": subprocess.DEVNULL,
            **options,
        }
        if "input" in options:
            del options["stdin"]
        return subprocess.run(command, check=False, **options)

    return call


@pytest.fixture(scope="session")
def built_image(docker_client) -> str:
    """The id of the shell image, as `sandbox-runner setup` built it."""
    from sandbox_runner.definitions import image_tag, is_current

    image = docker_client.inspect_image(image_tag("shell"))
    assert is_current(image["Config"]["Labels"]), "images are older than this version: sandbox-runner setup"
    return image["Id"]
