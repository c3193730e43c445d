"""Servers that tests share, and keys."""

import os
import time

import httpx2
import pytest
from http_server import WAIT, served

from sandbox_runner.engines.docker.inventory import list_runs
from sandbox_runner.server.http.keys import add_key


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder for configuration, with nothing in it."""
    return tmp_path_factory.mktemp("config")


@pytest.fixture(scope="module")
def open_server(home):
    """A server on loopback that asks for no key."""
    with served(home=home) as server:
        yield server


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """The secrets of two principals, and the file that has their hashes."""
    path = tmp_path_factory.mktemp("keys") / "keys"
    return {"alice": add_key(path, "alice"), "bob": add_key(path, "bob"), "file": path}


@pytest.fixture(scope="module")
def keyed_server(home, keys):
    """A server that knows alice and bob."""
    with served("--set", f"keys_file={keys['file']}", home=home) as server:
        yield server


@pytest.fixture
def client():
    with httpx2.Client(timeout=WAIT, trust_env=False) as client:
        yield client


@pytest.fixture
def live_runs(docker_client):
    """The containers that a server has now."""

    def find(server) -> list:
        return [run for run in list_runs(docker_client) if f":{server.process.pid}:" in run.owner]

    return find


@pytest.fixture
def gone_after(live_runs):
    """The seconds until a server has no container any more."""

    def wait(server) -> float:
        began = time.monotonic()
        while live_runs(server):
            assert time.monotonic() - began < WAIT
            os.sched_yield()
        return time.monotonic() - began

    return wait
