"""The images of the tests: those that setup made, and others of this very checkout under tags of their own.

Where something is missing the tests fail and say what to do.
"""

import os
from pathlib import Path

import pytest
from chosen_languages import RUNNABLE
from docker.errors import ImageNotFound

from sandbox_runner.definitions import image_tag
from sandbox_runner.engines.docker.connection import find_address
from sandbox_runner.provision.base import find_base, obtain_base
from sandbox_runner.provision.host import this_host
from sandbox_runner.provision.removal import remove_image
from sandbox_runner.provision.setup import build_images

BUILDING = 1800  # seconds: whichever test comes first waits for the images


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "repository" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(BUILDING))


def ignore(_progress) -> None:
    pass


def agree(_question: str) -> bool:
    return True


@pytest.fixture
def engine_socket() -> Path:
    address = find_address(None)
    assert address.startswith("unix://"), "these tests need an engine behind a Unix socket"
    return Path(address.removeprefix("unix://"))


@pytest.fixture(scope="session")
def state_folder(tmp_path_factory):
    """Where what these tests install is recorded; the machine's own record is left alone."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="session")
def debian(docker_client, state_folder):
    """The base that the engine has, or can get."""
    return find_base(docker_client, None) or obtain_base(
        docker_client, None, host=this_host(), folder=state_folder, consent=agree, report=ignore
    )


@pytest.fixture(scope="session")
def repository(docker_client, debian):
    """Where images built from this checkout are tagged; steps that the engine knows cost nothing."""
    name = f"sandbox-runner-tests-{os.getpid()}"
    build_images(docker_client, debian, report=ignore, wanted=RUNNABLE, repository=name)
    yield name
    for tag in docker_client.images(name=f"{name}/*"):
        for each in tag["RepoTags"]:
            remove_image(docker_client, each)


@pytest.fixture(scope="session")
def image_called(docker_client):
    """Gives the id of our image of that name; ``base`` can be another, named by the environment."""
    replaced = {"base": os.environ.get("SANDBOX_RUNNER_TEST_BASE")}

    def find(name: str) -> str:
        tag = replaced.get(name) or image_tag(name)
        try:
            return docker_client.inspect_image(tag)["Id"]
        except ImageNotFound:
            pytest.fail(
                f"The engine has no image {tag}: run `sandbox-runner setup`. For the base, "
                "SANDBOX_RUNNER_TEST_BASE can name another image with bash and the whole of python3."
            )

    return find


@pytest.fixture(scope="session")
def base_image(image_called) -> str:
    """The id of an image with bash, coreutils, and python3 with its whole standard library."""
    return image_called("base")


@pytest.fixture(scope="module")
def client():
    """The SDK's client of a stdio server."""
    from mcp_clients import sdk_client

    with sdk_client() as client:
        yield client


@pytest.fixture(scope="module")
def old_client():
    """One that shakes hands, as all did before 2026-07-28."""
    from mcp_clients import sdk_client

    with sdk_client(mode="legacy") as client:
        yield client


@pytest.fixture(params=["client", "old_client"])
def either(request):
    return request.getfixturevalue(request.param)
