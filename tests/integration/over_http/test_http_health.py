"""`/healthz` and `/readyz`: for probes, without a key, and without a word too many."""

from pathlib import Path

import httpx2
import pytest
from faulty_proxy import proxied
from http_server import call, modern, served
from own_daemon import own_daemon

from sandbox_runner.engines.docker.connection import find_address

pytestmark = pytest.mark.timeout(180)

PRINT = call("run_code", language="python", code="print(1)")


def health(client, server, path="/readyz"):
    answered = client.get(server.base + path)
    return answered.status_code, answered.text


def test_a_server_that_can_run_programs_is_ready(keyed_server, client):
    assert health(client, keyed_server) == (200, '{"status":"ok"}')
    assert health(client, keyed_server, "/healthz") == (200, '{"status":"ok"}')


def test_without_an_engine_the_server_lives_and_is_not_ready(home, client):
    with served(home=home, DOCKER_HOST="unix:///nowhere.sock") as server:
        assert health(client, server) == (503, '{"status":"engine"}')
        assert health(client, server, "/healthz") == (200, '{"status":"ok"}')


def test_a_caller_hears_nothing_of_the_engine_and_the_log_has_it(home, client):
    with served(home=home, DOCKER_HOST="unix:///nowhere.sock") as server:
        answered = client.post(server.url, **modern("tools/call", PRINT))
        assert "error" in answered.json()
        assert "nowhere" not in answered.text
        server.until("nowhere.sock")


def test_an_engine_that_goes_is_seen_and_one_that_comes_back_too(home, client, tmp_path):
    broken = []
    socket = Path(find_address(None).removeprefix("unix://"))
    with proxied(tmp_path, socket, lambda line: "refuse" if broken else None) as (address, cut):
        with served(home=home, DOCKER_HOST=address) as server:
            assert health(client, server)[0] == 200
            broken.append(True)
            cut()
            while health(client, server) != (503, '{"status":"engine"}'):
                pass
            broken.clear()
            while health(client, server)[0] != 200:
                pass


def test_an_engine_that_hangs_does_not_hang_the_probe(home, tmp_path):
    socket = Path(find_address(None).removeprefix("unix://"))
    with proxied(tmp_path, socket, lambda line: "swallow") as (address, cut):
        with served(home=home, DOCKER_HOST=address) as server, httpx2.Client(timeout=60) as impatient:
            assert health(impatient, server) == (503, '{"status":"engine"}')
            assert health(impatient, server, "/healthz")[0] == 200
            cut()


def test_without_the_images_the_server_is_not_ready(home, client, tmp_path):
    with own_daemon(tmp_path, size="64m") as address, served(home=home, DOCKER_HOST=address) as server:
        assert health(client, server) == (503, '{"status":"images"}')
