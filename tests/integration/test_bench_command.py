"""`sandbox-runner bench` as it is called: the document that it writes. No test looks at a time."""

import json
import subprocess
import sys

import anyio
import pytest
from docker.errors import NotFound

from sandbox_runner import __version__, bench
from sandbox_runner.bench import peers
from sandbox_runner.config import load_config
from sandbox_runner.engines.docker.inventory import list_runs
from sandbox_runner.errors import EngineError

pytestmark = pytest.mark.timeout(180)
SUMMARY = {"n", "p10", "p50", "p90", "p99", "max"}
FIGURE = {"name", "engine", "variant", "unit", "values", "ratio", "ratio_p99", "bar", "met", "notes"}


def test_a_quick_bench_writes_facts_and_figures_and_leaves_nothing(sandbox_runner, tmp_path, nothing_left):
    file, chart = tmp_path / "figures.json", tmp_path / "figures.png"
    words = ["--quick", "--only", "cold", "--engine", "docker", "--json", str(file), "--chart", str(chart)]
    ran = sandbox_runner("bench", *words)
    assert ran.returncode == 0, ran.stderr
    document = json.loads(file.read_text())
    assert document.keys() == {"format", "quick", "facts", "baseline", "missing", "figures"}
    assert (document["format"], document["quick"]) == (1, True)
    assert document["facts"]["sandbox_runner"] == __version__
    assert document["facts"]["cores"] >= 1
    assert all(figure.keys() == FIGURE for figure in document["figures"])
    assert all(figure["values"].keys() == SUMMARY for figure in document["figures"])
    figures = {figure["engine"]: figure for figure in document["figures"]}
    assert {"docker", "bare python"} <= figures.keys()
    assert figures["docker"]["ratio"] > 0
    assert "not measured: " in ran.stdout or not document["missing"]
    assert all(name in ran.stdout for name in figures)
    assert chart.read_bytes().startswith(b"\x89PNG")


LEAVES = (
    "import os, signal\nfrom sandbox_runner.bench.peers import opened_peers\n"
    "with opened_peers() as (peers, _):\n"
    "    print(peers[-1].words[-2], flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)"
)


@pytest.mark.parametrize("remover", ["reap", "bench"])
def test_a_container_that_a_killed_bench_left_is_removed(sandbox_runner, docker_client, remover):
    killed = subprocess.run([sys.executable, "-c", LEAVES], capture_output=True, text=True, timeout=60)
    container = killed.stdout.strip()
    assert docker_client.inspect_container(container)["State"]["Running"], killed.stderr
    if remover == "reap":
        assert "removed run bench-docker-exec" in sandbox_runner("reap").stdout
    else:
        with peers.opened_peers() as (opened, _):
            assert opened[-1].words[-2] != container
    with pytest.raises(NotFound):
        docker_client.inspect_container(container)
    assert not [run for run in list_runs(docker_client) if run.run_id == "bench-docker-exec"]


def test_without_an_engine_it_says_what_to_do(sandbox_runner):
    ran = sandbox_runner("bench", "--engine", "docker", "--set", "docker_host=unix:///nowhere.sock")
    assert (ran.returncode, ran.stdout) == (125, "")
    assert "sandbox-runner setup" in ran.stderr


async def _fails(_plan):
    async def fail():
        raise EngineError("The engine went away.")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fail)


def _measure(*names):
    async def measure():
        return await bench.measure(
            load_config().config, engines=["docker"], names=names, quick=True, report=lambda _: None
        )

    return anyio.run(measure)


def test_a_measure_that_fails_loses_no_other(monkeypatch, nothing_left):
    monkeypatch.setitem(bench.MEASURES, "warm", _fails)
    document = _measure("warm", "cold")
    assert document["missing"]["warm"] == "The engine went away."
    assert {figure["name"] for figure in document["figures"]} == {"cold"}


def test_where_all_measures_fail_it_is_an_error(monkeypatch, nothing_left):
    monkeypatch.setitem(bench.MEASURES, "warm", _fails)
    with pytest.raises(EngineError, match="went away"):
        _measure("warm")
