"""The README's figures: measured, kept in results/, and shown between two markers.

    python tests/bench/record.py                  measures (20 minutes, nothing else running), writes all
    python tests/bench/record.py --only session   measures that, and puts it into the kept result
    python tests/bench/record.py --rewrite        writes the README's section of the kept result again

A test compares the README with what `section` makes of the kept result.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import anyio

from sandbox_runner.bench.chart import drawn
from sandbox_runner.bench.report import number
from sandbox_runner.config import load_config

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
RESULTS = Path(__file__).parent / "results"
RESULT, CHART = RESULTS / "latest.json", RESULTS / "latest.png"
MARKER = "<!-- bench -->"
COLUMNS = (
    "oci+crun", "oci+runc", "oci+runsc", "docker", "docker+runsc",
    "bare python", "bwrap", "docker run", "docker exec", "llm-sandbox",
)  # fmt: skip
ROWS = {
    "cold": "cold: a fresh container, until the result",
    "warm": "warm: a container of its own that waited",
    "session": "session: a step, until the result",
    "sustained": "sustained, at the best of 1, 2, 4, 8 callers",
    "burst": "100 at once, until the result",
    "latency": "a program's write until the caller's event",
    "bandwidth": "output of 1 GiB",
    "idle": "a waiting container's memory, where 32 wait (runsc: 8)",
}
MORE_IS_BETTER = {"runs/s", "MB/s"}
VERDICTS = {True: "yes", False: "**no**", None: ""}


def recorded():
    """The kept result; None where there is none yet."""
    return json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else None


def section(document) -> str:
    """What the README shows of ``document``: nothing where there is none."""
    if document is None:
        return ""
    picture = f"![the figures as a chart]({CHART.relative_to(ROOT)})"
    return "\n\n".join((_where(document), _comparison(document), _bars(document), picture))


def in_readme() -> str:
    """What the README shows between the markers."""
    parts = README.read_text("utf-8").split(MARKER)
    assert len(parts) == 3, f"README.md has the figures between two markers {MARKER}"
    return parts[1].strip()


def _where(document) -> str:
    facts = document["facts"]
    versions = ", ".join(
        f"{name} {re.search(r'[0-9][0-9.]*', facts[name])[0].rstrip('.')}"
        for name in ("docker", "crun", "runc", "bwrap", "llm-sandbox")
        if facts.get(name)
    )
    machine = f"{facts['cores']} cores ({facts['processor']}), {facts['memory'] / 2**30:.0f} GiB"
    system = f"Linux {facts['kernel']}, cgroup v{facts['cgroup']}, {versions}"
    return (
        f"{facts['date'][:10]}, version {facts['sandbox_runner']}, {machine}, {system}. "
        f"The bare python is {document['baseline']}. "
        "Medians, with the 99th percentile in parentheses; of several ways the best."
        + "".join(f" Measured apart: {name} ({date})." for name, date in document.get("apart", {}).items())
    )


def _comparison(document) -> str:
    columns = [name for name in COLUMNS if any(_column(figure) == name for figure in document["figures"])]
    lines = [_row("", *columns), _row(*["---"] * (len(columns) + 1))]
    for name, title in ROWS.items():
        figures = [figure for figure in document["figures"] if figure["name"] == name]
        if figures:
            cells = (_cell([each for each in figures if _column(each) == column]) for column in columns)
            lines.append(_row(f"{title}, {figures[0]['unit']}", *cells))
    return "\n".join(lines)


def _column(figure) -> str:
    return figure["engine"].partition(",")[0]


def _cell(figures) -> str:
    chosen = [figure for figure in figures if figure["variant"] != "one at a time"]
    if not chosen:
        return ""
    sign = -1 if chosen[0]["unit"] in MORE_IS_BETTER else 1
    best = min(chosen, key=lambda figure: sign * figure["values"]["p50"])
    tail = f" ({number(best['values']['p99'])})" if best["unit"] == "ms" else ""
    how = best["engine"].partition(", ")[2]
    return number(best["values"]["p50"]) + tail + (f" {how}" if how else "")


def _bars(document) -> str:
    lines = [_row("bar", "engine", "measured how", "it has to be", "it is", "met"), _row(*["---"] * 6)]
    for figure in sorted(document["figures"], key=lambda each: list(ROWS).index(each["name"])):
        if figure["bar"]:
            how, met = figure["variant"], VERDICTS[figure["met"]]
            lines.append(_row(figure["name"], figure["engine"], how, figure["bar"], _found(figure), met))
    return "\n".join(lines)


def _found(figure) -> str:
    words = [f"p50 {number(figure['values']['p50'])} {figure['unit']}"]
    if "bare python" in figure["bar"]:
        words.append(f"{number(figure['ratio'])} x bare python")
    if "p99" in figure["bar"]:
        words.append(f"p99 {number(figure['values']['p99'])} {figure['unit']}")
        words.append(f"{number(figure['ratio_p99'])} x bare python")
    words += [f"{key}: {number(value)}" for key, value in figure["notes"].items() if key != "concurrency"]
    return ", ".join(words)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def joined(kept, measured):
    """``kept``, with the figures of ``measured`` in the place of its own, and when they were made.

    Those of engines that were not measured stay as they are.
    """
    names = sorted({figure["name"] for figure in measured["figures"]})
    made = {(figure["name"], _column(figure)) for figure in measured["figures"]}
    return {
        **kept,
        "apart": {**kept.get("apart", {}), **dict.fromkeys(names, measured["facts"]["date"])},
        "figures": [each for each in kept["figures"] if (each["name"], _column(each)) not in made]
        + measured["figures"],
    }


def _measured(arguments):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "figures.json")
        command = [sys.executable, "-m", "sandbox_runner", "bench", *arguments]
        subprocess.run([*command, "--json", file], check=True)
        return json.loads(file.read_text("utf-8"))


def _keep(document) -> None:
    RESULTS.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    CHART.write_bytes(anyio.run(drawn, document, load_config().config))


def main() -> None:
    arguments = sys.argv[1:]
    if arguments != ["--rewrite"]:
        document = _measured(arguments)
        _keep(joined(recorded(), document) if "--only" in arguments else document)
    before, _, after = README.read_text("utf-8").split(MARKER)
    README.write_text(f"{before}{MARKER}\n{section(recorded())}\n{MARKER}{after}", "utf-8")


if __name__ == "__main__":
    main()
