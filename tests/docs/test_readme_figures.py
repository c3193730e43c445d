"""The README's figures are those of the result that is kept, and nobody's memory."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from record import CHART, COLUMNS, in_readme, joined, recorded, section


def figure(name, engine, **more):
    values = {"n": 3, "p10": 1.0, "p50": 2.0, "p90": 3.0, "p99": 4.0, "max": 5.0}
    rest = {
        "variant": "",
        "unit": "ms",
        "ratio": None,
        "ratio_p99": None,
        "bar": "",
        "met": None,
        "notes": {},
    }
    return {"name": name, "engine": engine, "values": {**values, **more.pop("values", {})}, **rest, **more}


def document(*figures):
    facts = {
        "date": "2026-01-02 03:04", "sandbox_runner": "9.9", "cores": 2, "processor": "a processor",
        "memory": 8 << 30, "kernel": "6.1", "cgroup": "1", "docker": "20.10.24", "crun": "crun version 1.8.1",
        "runc": None, "bwrap": None, "llm-sandbox": None,
    }  # fmt: skip
    return {
        "quick": False,
        "facts": facts,
        "baseline": "the interpreter",
        "missing": {},
        "figures": list(figures),
    }


def test_the_readme_shows_the_figures_of_the_kept_result():
    assert in_readme() == section(recorded()), "run: python tests/bench/record.py --rewrite"
    assert CHART.exists() == (recorded() is not None)


def test_a_quick_run_is_no_result_to_keep():
    kept = recorded()
    assert kept is None or (kept["quick"], kept["missing"].keys() & set(COLUMNS[:3])) == (False, set())


def test_the_section_tells_the_machine_the_medians_and_whether_bars_are_met():
    shown = section(
        document(
            figure("cold", "oci+crun", bar="p50 <= 3 x bare python", met=True, ratio=2.5),
            figure("cold", "bare python", values={"p50": 0.5}),
            figure("sustained", "oci+crun", unit="runs/s", variant="concurrency 1", values={"p50": 10}),
            figure("sustained", "oci+crun", unit="runs/s", variant="concurrency 4", values={"p50": 123.4}),
        )
    )
    assert "2026-01-02, version 9.9, 2 cores (a processor), 8 GiB, Linux 6.1" in shown
    assert "docker 20.10.24, crun 1.8.1." in shown
    assert "|  | oci+crun | bare python |" in shown
    assert "| cold: a fresh container, until the result, ms | 2 (4) | 0.5 (4) |" in shown
    assert "| 123 |  |" in shown
    assert "| cold | oci+crun |  | p50 <= 3 x bare python | p50 2 ms, 2.5 x bare python | yes |" in shown


def test_a_measure_made_apart_replaces_its_own_and_says_when():
    kept = document(
        figure("cold", "oci+crun"),
        figure("session", "oci+crun", values={"p50": 9}),
        figure("session", "docker", values={"p50": 7}),
    )
    shown = section(joined(kept, document(figure("session", "oci+crun", values={"p50": 1.5}))))
    assert "Measured apart: session (2026-01-02 03:04)." in shown
    assert "| session: a step, until the result, ms | 1.5 (4) | 7 (4) |" in shown
    assert "| cold: a fresh container, until the result, ms | 2 (4) |" in shown
