"""What a model is told after a run: of the limits that were met, and hints from the program's own words."""

from types import SimpleNamespace

import pytest

from sandbox_runner.config import Config
from sandbox_runner.events import Usage
from sandbox_runner.output import Captured
from sandbox_runner.policy import check
from sandbox_runner.request import InputFile, RunRequest
from sandbox_runner.result import RunResult
from sandbox_runner.server.advice import notes

CONFIG = Config()


def told(stderr="", *, status="exited", exit_code=1, files=(), language="python", reason="", limits_hit=None):
    request = RunRequest(language=language, code="1", files=files)
    limits = check(CONFIG.policy(), request, language=None)
    run = SimpleNamespace(request=request, limits=limits, in_session=False)
    result = RunResult(
        run_id="r",
        status=status,
        exit_code=exit_code if status == "exited" else None,
        signal=None,
        reason=reason,
        captured={"stdout": Captured(b"", b"", 0), "stderr": Captured(stderr.encode(), b"", len(stderr))},
        usage=Usage(wall_time=1.0, cpu_time=1.0, peak_memory=1, stdout_bytes=0, stderr_bytes=0),
        limits_hit=limits_hit or {},
    )
    return notes(run, result, CONFIG)


@pytest.mark.parametrize(
    ("status", "limit", "note"),
    [
        ("timed_out", "wall_time", "Timed out after 30 s; raise timeout_s, or do less (ceiling 600)."),
        (
            "out_of_memory",
            "memory",
            "Ran out of its 512m of memory; raise memory_mb, or use less (ceiling 4g).",
        ),
        ("cpu_limit", "cpu_time", "Ended after 31 s of CPU time; do less (ceiling 3600)."),
        (
            "output_limit",
            "output",
            "Ended after 64m of output; print less, or write to a file and print its part (ceiling 1g).",
        ),
    ],
)
def test_a_limit_is_told_with_its_value_its_ceiling_and_the_way_out(status, limit, note):
    named = note.replace("(ceiling ", f"(ceiling max_{limit} ")
    assert told(status=status, limits_hit={limit: 1})[0] == named


def test_a_limit_that_the_program_survived_is_told_too():
    [note] = told(exit_code=0, limits_hit={"pids": 3})
    assert note == (
        "No process could be started at the pids limit of 128 (3 times); start fewer processes and threads "
        "(ceiling max_pids 1024)."
    )


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("OSError: [Errno 101] Network is unreachable", "net.none"),
        ("curl: (6) Could not resolve host: x", "net.none"),
        ("Error: getaddrinfo EAI_AGAIN registry", "net.none"),
        ("OSError: [Errno 30] Read-only file system: '/etc/x'", "fs.root.read_only"),
        ("PermissionError: [Errno 1] Operation not permitted", "proc.no_privilege"),
        ("bash: ./x: Permission denied", "proc.no_privilege"),
        ("OSError: [Errno 28] No space left on device", "res.disk"),
        ("ModuleNotFoundError: No module named 'torch'", "'torch' is not installed"),
        ("ModuleNotFoundError: No module named 'a.b'", "'a.b' is not installed"),
        ("Error: Cannot find module 'left-pad'", "'left-pad' is not installed"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'a b'", "'a b' is not in the sandbox"),
        ("Error: ENOENT: no such file or directory, open 'a.csv'", "'a.csv' is not in the sandbox"),
        ("cat: a.csv: No such file or directory", "'a.csv' is not in the sandbox"),
        ("bash: line 1: kubectl: command not found", "'kubectl' is not installed"),
        ("sh: 1: kubectl: not found", "'kubectl' is not installed"),
    ],
)  # fmt: skip
def test_a_programs_words_are_a_hint_at_what_holds_here(stderr, said):
    [note] = told(f"Traceback\n{stderr}\n")
    assert said in note
    assert told(stderr, exit_code=0) == []


def test_a_missing_file_is_told_with_those_that_were_passed():
    passed = (InputFile("data.csv", b""), InputFile("b/c.txt", b""))
    [note] = told("No such file or directory: 'x'", files=passed)
    assert (
        note == "'x' is not in the sandbox: passed in files were data.csv, b/c.txt, which are in /workspace."
    )


def test_names_out_of_a_programs_mouth_are_bounded_and_shown_plainly():
    [note] = told("No such file or directory: '" + "\x1b[31m\u202e" * 20 + "'")
    assert "\x1b" not in note
    assert "\u202e" not in note
    assert told("No such file or directory: '" + "x" * 5000 + "'") == []


def test_looking_for_hints_takes_a_bounded_time():
    for piece in (": ", "line 1: ", "No module named ", "a: b: ", "Cannot find module '"):
        assert told(piece * 200_000) is not None


def test_an_ordinary_failure_is_left_to_the_programs_own_words():
    assert told("ValueError: 3") == []
