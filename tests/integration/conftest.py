"""What the tests against a real engine share. Where something is missing they fail and say what to do."""

import os

import pytest
from docker.errors import ImageNotFound

from sandbox_runner.definitions import image_tag


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
