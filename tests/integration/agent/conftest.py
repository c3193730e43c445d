"""A real engine, our images, and containers of them that are gone when their test is over."""

from collections.abc import Iterator
from typing import Any

import docker
import pytest
from agent_client import AgentContainer, StartAgent


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def agent_image(image_called) -> str:  # type: ignore[no-untyped-def]
    """The id of an image with PID 1, Python, and little else."""
    return image_called("base")


@pytest.fixture(scope="session")
def python_image(image_called) -> str:  # type: ignore[no-untyped-def]
    """The id of our Python image, whose interpreter can wait for its program."""
    return image_called("python")


@pytest.fixture(scope="session")
def node_image(image_called) -> str:  # type: ignore[no-untyped-def]
    """The id of our Node image, whose interpreter can be started ahead."""
    return image_called("node")


@pytest.fixture
def start_agent(engine: docker.DockerClient, request: pytest.FixtureRequest) -> Iterator[StartAgent]:
    containers = []

    def start(**changes: Any) -> AgentContainer:
        image = "" if "body" in changes else request.getfixturevalue("agent_image")
        containers.append(AgentContainer(engine, image, **changes))
        return containers[-1]

    yield start
    left = [container.id for container in containers if not container.ended_by_itself()]
    assert not left, "containers had to be removed by force"


@pytest.fixture
def agent(start_agent: StartAgent) -> AgentContainer:
    container = start_agent()
    container.greet()
    return container
