"""Figures, bars, rows and turns of the bench. What it measures is for people: no test looks at a time."""

from dataclasses import asdict
from types import SimpleNamespace

import pytest

from sandbox_runner.bench import burst, steps, sustained
from sandbox_runner.bench.figure import BARE, Bar, figure, summed_up
from sandbox_runner.bench.peers import Peer, find_baseline, run_once
from sandbox_runner.bench.plan import Plan, Subject, take_turns
from sandbox_runner.bench.report import HEADINGS, number, rows
from sandbox_runner.cli import main
from sandbox_runner.config import Config
from sandbox_runner.errors import EngineError
from sandbox_runner.testing import Reply, fake_runner


def test_a_summary_has_percentiles_in_order():
    summary = summed_up([float(n) for n in range(100, -1, -1)])
    assert asdict(summary) == {"n": 101, "p10": 10, "p50": 50, "p90": 90, "p99": 99, "max": 100}
    assert asdict(summed_up([7.0])) == {"n": 1, "p10": 7, "p50": 7, "p90": 7, "p99": 7, "max": 7}


@pytest.mark.parametrize(
    ("bar", "values", "baseline", "text", "met"),
    [
        (Bar("p50", "<=", 2), [1, 2, 3], None, "p50 <= 2 ms", True),
        (Bar("p50", "<=", 1.9), [1, 2, 3], None, "p50 <= 1.9 ms", False),
        (Bar("p50", ">=", 2), [1, 2, 3], None, "p50 >= 2 ms", True),
        (Bar("p50", "<=", 0.5, BARE), [2], [4], "p50 <= 0.5 x bare python", True),
        (Bar("p99", "<=", 2, BARE), [9], [4], "p99 <= 2 x bare python", False),
        (Bar("p50", "<=", 0.5, BARE), [2], None, "p50 <= 0.5 x bare python", None),
    ],
)
def test_a_bar_is_met_missed_or_cannot_be_judged(bar, values, baseline, text, met):
    made = figure("cold", "docker", values, baseline=baseline, bars=[bar])
    assert (made.bar, made.met) == (text, met)


def test_all_bars_of_a_figure_have_to_be_met_and_they_may_judge_by_another_baseline():
    bars = [Bar("p50", "<=", 1, BARE), Bar("p99", "<=", 1, BARE)]
    assert figure("warm", "docker", [1, 1, 9], baseline=[2], bars=bars).met is False
    judged = figure("warm", "docker", [6], baseline=[2], bars=bars, judged_by=[7])
    assert (judged.ratio, judged.met) == (3.0, True)
    assert figure("warm", "docker", [6], baseline=[2]).met is None


def test_every_figure_is_a_row_with_short_numbers():
    made = figure("warm", "docker", [1.236], bars=[Bar("p50", "<=", 1)], notes={"cpu_ms": 1234.5})
    (row,) = rows({"figures": [asdict(made)]})
    shown = dict(zip(HEADINGS, row, strict=True))
    assert (shown["P50"], shown["X BARE"]) == ("1.24", "")
    assert (shown["MET"], shown["NOTES"], shown["BAR"]) == ("NO", "cpu_ms=1234", "p50 <= 1 ms")
    assert [number(value) for value in (None, 0.12345, 12.345, 1234.6)] == ["", "0.123", "12.3", "1235"]


@pytest.mark.anyio
async def test_turns_alternate_the_first_round_does_not_count_and_slow_ones_have_fewer():
    calls = []

    def turn(name):
        async def call():
            calls.append(name)
            return float(len(calls))

        return call

    taken = await take_turns({"a": turn("a"), "b": turn("b")}, 3, most={"b": 1})
    assert {name: len(values) for name, values in taken.items()} == {"a": 3, "b": 1}
    assert (calls.count("a"), calls.count("b")) == (4, 2)
    assert 1.0 not in [*taken["a"], *taken["b"]]


def test_the_baseline_runs_and_what_fails_or_prints_something_else_is_an_error():
    baseline = find_baseline()
    took, cpu = run_once(baseline)
    assert took > 0 <= cpu
    assert "interpreter" in baseline.about or "python3" in baseline.about
    with pytest.raises(EngineError, match="printed b''"):
        run_once(Peer("true", ("/bin/true",), ""))
    with pytest.raises(EngineError, match="failed with status 1"):
        run_once(Peer("false", ("/bin/false",), ""))


def test_only_the_best_concurrency_is_judged_and_by_the_best_of_the_engines_own_calls():
    rates = {
        ("raw calls", ""): {1: [10.0], 8: [20.0]},
        ("docker", "no pool"): {1: [9.0], 8: [19.0]},
        (BARE, ""): {1: [100.0], 8: [200.0]},
    }
    low, high = sustained._figures(("docker", "no pool"), rates["docker", "no pool"], rates)
    assert (low.bar, low.met, low.ratio) == ("", None, 0.09)
    assert (high.bar, high.met, high.ratio) == ("p50 >= 0.9 x the best of raw calls", True, 0.095)


@pytest.mark.anyio
async def test_a_burst_with_a_failed_run_does_not_meet_its_bar(monkeypatch):
    answers = iter([SimpleNamespace(stdout="1\n")] * 3 + [SimpleNamespace(stdout="")])

    class Fake:
        instance = "x"

        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            pass

        async def run(self, _request):
            return next(answers)

    monkeypatch.setattr(burst.Runner, "open", lambda *_, **__: Fake())
    subject = Subject("oci+crun", Config(), lambda _instance: [], local=True)
    ((name, values),) = (await burst._bursts(subject, burst._POOLS[0], 3)).items()
    made = burst._figure(subject, values, variant=name, bare=[1e6], own=[])
    assert (made.met, made.notes, made.values.n) == (False, {"failed": 1}, 2)
    assert made.bar == "all succeed, p50 <= 50 x bare python"


@pytest.mark.anyio
async def test_a_step_counts_without_the_codes_own_time_and_one_that_fails_is_an_error(monkeypatch):
    replies = {b"i = 1": Reply()}

    def answer(job):
        return replies.get(job.value, Reply(stdout=b"1e12\n"))  # more than any step takes

    monkeypatch.setattr(steps.Runner, "open", lambda *_, **__: fake_runner(answer))
    subject = Subject("oci+crun", Config(), lambda _instance: [], local=True)
    plan = Plan(
        subjects=[subject], baseline=find_baseline(), peers=[], llm_sandbox=False, quick=True, report=print
    )
    (made,) = await steps.measure_steps(plan)
    assert (made.name, made.bar, made.values.n) == ("session", "p50 <= 2 ms", 20)
    assert made.notes == {"own_us": 1e15}
    assert made.values.max < 0
    replies[b"i = 1"] = Reply(exit_code=1)
    with pytest.raises(EngineError, match="ended as exited"):
        await steps.measure_steps(plan)


def test_a_measure_or_an_engine_that_is_none_is_refused_and_so_is_a_file_without_a_folder(capsys):
    for words in (["--only", "speed"], ["--engine", "podman"], ["--json", "/nowhere/at/all.json"]):
        assert main(["bench", *words]) == 2
        assert capsys.readouterr().err.startswith("sandbox-runner: ")
