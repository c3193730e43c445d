"""Packages on engines elsewhere and of other kinds, and where several processes ask for the same."""

import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from docker.errors import ImageNotFound as NoImage
from engine_doors import sshd
from package_indexes import PAUSE, serving
from test_oci_engine import left_by

from sandbox_runner import Config, Runner, RunRequest
from sandbox_runner.engines.choice import open_engine
from sandbox_runner.engines.docker.connection import find_address
from sandbox_runner.errors import Busy, EngineError
from sandbox_runner.locks import lock
from sandbox_runner.packages import images, kept, kept_packages

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

WAIT = 90  # seconds: a bound for a loaded machine, no test depends on it
CODE = "import shared; print(shared.VALUE)"
WHEEL = "/files/shared-1.0-py3-none-any.whl"
WAITS = "packages shared: waiting for another one who installs the same packages\n"


@pytest.fixture
def index():
    with serving() as served:
        served.add_wheel("shared")
        yield served


@pytest.fixture
def record(tmp_path, monkeypatch):
    """A record of the test's own."""
    monkeypatch.setattr(kept, "state_folder", lambda: tmp_path)


def installing(index, **settings) -> Config:
    return Config(
        packages=("pip:*",), pip_index=f"{index.url}/simple", package_memory="512m", package_disk="64m",
        **settings,
    )  # fmt: skip


async def discard(which, *, oci_runtime=None):
    opening = open_engine(which.engine, docker_host=which.address, oci_runtime=oci_runtime)
    async with opening as (_, engine):
        await engine.discard(which.image)


async def ran(config) -> str:
    async with Runner.open(config) as runner:
        request = RunRequest(language="python", code=CODE, packages=["shared"])
        result = await runner.run(request)
        return result.stdout + result.stderr


@pytest.fixture(params=["docker", "oci"])
def gvisor(request):
    """Settings for runsc on both engines."""
    there = {"docker_host": request.getfixturevalue("gvisor_address")} if request.param == "docker" else {}
    return {"engine": request.param, "oci_runtime": "runsc", **there}


async def test_packages_are_installed_and_found_under_gvisor(gvisor, index, record):
    config = installing(index, **gvisor)
    assert await ran(config) == "shared\n"
    (made,) = kept_packages()
    asked = len(index.asked)
    assert await ran(config) == "shared\n"
    assert len(index.asked) == asked, "it was installed again"
    await discard(made, oci_runtime="runsc")


async def test_packages_of_an_engine_elsewhere_are_its_own(
    index, record, docker_client, monkeypatch, tmp_path_factory
):
    here = find_address(None)
    config = installing(index, engine="docker")
    with sshd(tmp_path_factory.mktemp("ssh"), here.removeprefix("unix://")) as (port, commands):
        there = f"ssh://127.0.0.1:{port}"
        monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("DOCKER_HOST", there)
        assert await ran(config) == "shared\n"
        (made,) = kept_packages()
        assert (made.address, made.where) == (there, f"docker at {there}")
        monkeypatch.setenv("DOCKER_HOST", here)
        assert kept.find("docker", here, made.image) is None
        assert kept.surplus("docker", here, most=0, but="") == []
        await discard(made)
    with pytest.raises(NoImage):
        docker_client.inspect_image(made.image)


@pytest.fixture(params=["docker", "oci"])
def asking(request, index, sandbox_runner):
    """Starts processes that ask for the same package. The record is this machine's own here."""
    processes = []

    def ask():
        settings = ("packages=pip:shared", f"pip_index={index.url}/simple", "package_memory=512m")
        words = [word for each in settings for word in ("--set", each)]
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox_runner", "run", "--engine", request.param, *words,
             "--package", "shared", "-c", CODE],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield ask
    for process in processes:
        process.kill()
        process.communicate()
    for made in kept_packages():
        if made.requirements == ("shared",):
            assert sandbox_runner("packages", "--remove", made.id).returncode == 0


async def test_who_waits_too_long_for_another_one_is_told(index, record, monkeypatch, tmp_path):
    held = tmp_path / "held.lock"
    monkeypatch.setattr(images, "lock_file", lambda *_: held)
    free = lock(held)
    with pytest.raises(Busy, match=r"installing the same packages for 0\.2 s; try again"):
        await ran(replace(installing(index, engine="docker"), package_time=0.1))
    free()
    assert index.asked == []
    monkeypatch.setattr(images, "lock_file", lambda *_: tmp_path / "held.lock" / "below.lock")
    held.touch()
    with pytest.raises(EngineError, match="cannot be recorded in"):
        await ran(installing(index, engine="docker"))


@pytest.mark.usefixtures("nothing_left")
def test_processes_wait_for_the_one_that_installs_and_the_next_takes_over_when_it_is_killed(
    index, asking, sandbox_runner
):
    wheel, index.files[WHEEL] = index.files[WHEEL], PAUSE
    first = asking()
    assert index.paused.wait(WAIT)
    assert re.search(rf"^\S+ +- +installing .* {first.pid}$", sandbox_runner("ps").stdout, re.MULTILINE)
    others = [asking(), asking()]
    assert [process.stderr.readline() for process in others] == [WAITS] * 2
    index.files[WHEEL] = wheel
    first.kill()
    assert [process.communicate(timeout=WAIT) for process in others] == [("shared\n", "")] * 2
    assert [process.returncode for process in others] == [0, 0]
    assert index.asked.count(WHEEL) == 2, "one of those that waited installed it again"
    assert left_by({first.pid}) == []
