"""`sandbox-runner bench` as it is called: the document that it writes. No test looks at a time."""

import json

import pytest

from sandbox_runner import __version__

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


def test_without_an_engine_it_says_what_to_do(sandbox_runner):
    ran = sandbox_runner("bench", "--engine", "docker", "--set", "docker_host=unix:///nowhere.sock")
    assert (ran.returncode, ran.stdout) == (125, "")
    assert "sandbox-runner setup" in ran.stderr
