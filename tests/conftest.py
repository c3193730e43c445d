"""What tests share. A test that needs an engine and finds none fails: nothing here skips."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import psutil
import pytest

from sandbox_runner.engines.docker.connection import connect
from sandbox_runner.engines.docker.inventory import list_runs
from sandbox_runner.engines.docker.removal import state_of
from sandbox_runner.engines.live_runs import LiveRun
from sandbox_runner.owner import current_owner, is_alive
from sandbox_runner.places import state_folder

# A command in the background has SIGINT ignored, and so would the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory) -> Iterator[None]:
    """Snapshots and histories of tests are kept in a folder of theirs; the images are the machine's."""
    with pytest.MonkeyPatch.context() as patch:
        images = state_folder() / "oci"
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        if state_folder() != images.parent and images.exists():  # not root
            state_folder().mkdir()
            (state_folder() / "oci").symlink_to(images)
        yield


@pytest.fixture(scope="session")
def docker_client():
    """A client of the engine that the tests run on."""
    client = connect(None)
    yield client
    client.close()


@pytest.fixture(scope="session")
def gvisor_address(docker_client, tmp_path_factory) -> Iterator[str]:
    """The address of a daemon with gVisor's runsc; one for all tests, as its images are copied to it."""
    from gvisor_daemon import gvisor_daemon

    with gvisor_daemon(docker_client, tmp_path_factory.mktemp("gvisor")) as address:
        yield address


@pytest.fixture
def nothing_left(docker_client) -> Iterator[None]:
    """Fails the test that leaves a container behind.

    What this process made must be gone at once, and what a process that the test started made
    within 5 seconds: the watchdog's promise. What someone else runs on this engine is theirs.
    """
    before = {run.container_id for run in list_runs(docker_client)}
    yield
    left = [run for run in list_runs(docker_client) if run.container_id not in before]
    assert [run for run in left if run.owner == current_owner()] == []
    left = [run for run in left if not is_someone_elses(run) and not waits(run)]
    deadline = time.monotonic() + 5
    while left and time.monotonic() < deadline:
        left = [run for run in left if state_of(docker_client, run.container_id) is not None]
    assert left == []


def waits(run: LiveRun) -> bool:
    """Whether it may wait in the pool of a server that lives on, such as one that several tests share."""
    return run.ahead and bool(is_alive(run.owner))


def is_someone_elses(run: LiveRun) -> bool:
    """Whether a process that is no child of this one owns the run, and lives."""
    ours = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    return bool(is_alive(run.owner)) and int(run.owner.split(":")[1]) not in ours


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
