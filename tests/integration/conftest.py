"""What the tests against a real engine share. Where there is none, they fail and say why."""

import os

import docker
import pytest
from docker.errors import DockerException, ImageNotFound


@pytest.fixture(scope="session")
def engine():
    """A client of the Docker engine."""
    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        pytest.fail(
            f"These tests need a Docker engine that answers; start dockerd or set DOCKER_HOST: {error}"
        )
    yield client
    client.close()


@pytest.fixture(scope="session")
def base_image(engine):
    """The id of an image with bash, coreutils, and python3 with its whole standard library."""
    name = os.environ.get("SANDBOX_RUNNER_TEST_BASE", "sandbox-runner/base")
    try:
        return engine.images.get(name).id
    except ImageNotFound:
        pytest.fail(
            f"The engine has no image {name!r}: run `sandbox-runner setup`, or set SANDBOX_RUNNER_TEST_BASE "
            "to the name of an image with python3."
        )
