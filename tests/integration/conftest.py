"""Images of this very checkout under tags of their own, beside those of the machine's user."""

import os

import pytest

from sandbox_runner.provision.base import find_base, obtain_base
from sandbox_runner.provision.host import this_host
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
    build_images(docker_client, debian, report=ignore, repository=name)
    yield name
    for tag in docker_client.images(name=f"{name}/*"):
        for each in tag["RepoTags"]:
            docker_client.remove_image(each)
