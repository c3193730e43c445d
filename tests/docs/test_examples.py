"""Each example is run on a real engine with the very line that its header gives, and its output checked."""

import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PROGRAMS = (".py", ".js", ".ts", ".sh")
WAIT = 200  # seconds: a bound for a loaded machine, no test depends on it


def run_line(path: Path) -> str:
    """The command in an example's header."""
    found = re.search(r"^\W*Run: (.+)$", path.read_text(), re.MULTILINE)
    assert found, f"{path.name} has no line that begins with 'Run:'; say there how to run it"
    return found[1]


@pytest.fixture
def folder(tmp_path):
    """A folder that holds `examples/`, and the commands that a user has on PATH."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "sandbox-runner").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sandbox_runner "$@"\n')
    (commands / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for command in commands.iterdir():
        command.chmod(0o755)
    return tmp_path


@pytest.fixture
def run_example(folder):
    """Runs one as its header says; returns the finished process. It must succeed."""

    def run(name):
        paths = {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(
            run_line(folder / "examples" / name),
            shell=True,
            cwd=folder,
            env={**os.environ, **paths},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT,
        )
        assert ran.returncode == 0, ran.stderr
        return ran

    return run


def check_picture(path: Path, *, size: tuple[int, int]) -> None:
    """It is a whole PNG of that size in which something is drawn."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == size
    assert data[-8:-4] == b"IEND"
    assert len(data) > 5000, "an empty canvas of this size takes less"


def test_an_analysis_gives_a_table_and_a_picture(run_example, folder):
    ran = run_example("sales_plot.py")
    check_picture(folder / "sales.png", size=(800, 450))
    assert "2026-04  1500.0  807.5" in ran.stderr


def test_a_picture_comes_back_to_a_python_program(run_example, folder):
    ran = run_example("plot_from_python.py")
    check_picture(folder / "sales.png", size=(800, 450))
    assert "2026-04  1500.0  807.5" in ran.stdout
    assert "saved sales.png" in ran.stdout


def test_a_node_script_counts_what_is_piped_to_it(run_example):
    assert run_example("word_count.js").stdout == "3 the\n2 and\n1 bat\n1 cat\n1 hat\n"


def test_typescript_reads_its_data(run_example):
    assert run_example("inventory.ts").stdout == "order 80 of bolt\norder 85 of washer\n"


def test_a_shell_pipeline_reports(run_example):
    assert run_example("log_report.sh").stdout.splitlines() == [
        '{"failures":2,"path":"/missing.html"}',
        '{"failures":1,"path":"/api/orders"}',
        '{"failures":1,"path":"/old.html"}',
    ]


def test_a_stream_gives_each_event_in_order(run_example):
    lines = run_example("stream.py").stdout.splitlines()
    assert lines[0] == "started"
    assert [line for line in lines if line.startswith("stdout")] == [f"stdout: step {n}" for n in (1, 2, 3)]
    assert "stderr: that was all" in lines
    assert lines[-1].startswith("exited 0 after ")


def test_limits_are_met_and_told(run_example):
    endless, greedy, network = run_example("limits.py").stdout.splitlines()
    assert endless == "endless loop: timed_out"
    assert greedy == "10 GB of memory: out_of_memory {'memory': 1}"
    assert network.startswith("network: OSError: ")
    assert "Network is unreachable" in network


def test_the_table_lists_every_file_and_no_other():
    listed = set(re.findall(r"\]\(([\w.]+)\)", (EXAMPLES / "README.md").read_text()))
    there = {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"README.md"}
    assert listed == there


def test_every_file_is_run_by_a_test_here_or_used_by_one_that_is():
    here = Path(__file__).read_text()
    programs = [path for path in EXAMPLES.iterdir() if path.suffix in PROGRAMS]
    assert [path.name for path in programs if f'run_example("{path.name}")' not in here] == []
    used = "".join(run_line(path) for path in programs)
    data = [path.name for path in EXAMPLES.iterdir() if path.suffix not in (*PROGRAMS, ".md")]
    assert [name for name in data if name not in used] == []
