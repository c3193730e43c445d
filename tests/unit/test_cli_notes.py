"""What is said about limits, findings and progress."""

import json
import os
import pty
import subprocess
import sys

import pytest

from sandbox_runner.cli import main
from sandbox_runner.cli.notes import notes
from sandbox_runner.cli.progress import shown_progress
from sandbox_runner.config import SETTINGS, Config
from sandbox_runner.doctor import Finding
from sandbox_runner.errors import EngineUnavailable
from sandbox_runner.events import Usage
from sandbox_runner.policy import check
from sandbox_runner.provision.progress import Progress
from sandbox_runner.request import Limits, RunRequest
from sandbox_runner.result import RunResult

LIMITS = ("wall_time", "cpu_time", "output", "memory", "pids", "workspace", "tmp")


def said(status, hits, *, reason="", config=None, **limits):
    config = config or Config()
    result = RunResult(
        run_id="1", status=status, exit_code=None, signal=None, reason=reason,
        captured={}, usage=Usage(1.0), limits_hit=hits,
    )  # fmt: skip
    request = RunRequest(command=["x"], limits=Limits(**limits))
    return list(notes(result, check(config.policy(), request, language=None), config))


@pytest.mark.parametrize("name", LIMITS)
def test_each_limit_is_told_with_its_value_how_to_raise_it_and_its_ceiling(name):
    (note,) = said("exited", {name: 1})
    assert f"(ceiling max_{name} " in note
    assert "raise it with --" in note
    assert "\n" not in note


def test_an_end_and_the_limit_behind_it_are_told_once():
    assert said("timed_out", {"wall_time": 1}, wall_time=2) == [
        "timed out after 2 s; raise it with --timeout (ceiling max_wall_time 600)."
    ]
    assert said("out_of_memory", {"memory": 1, "pids": 3}) == [
        "ran out of its 512m of memory; raise it with --memory (ceiling max_memory 4g).",
        "no process could be started at the pids limit of 128 (3 times); "
        "raise it with --pids (ceiling max_pids 1024).",
    ]


def test_at_the_ceiling_only_the_operator_can_help():
    (note,) = said("timed_out", {"wall_time": 1}, wall_time=600)
    assert note == "timed out after 600 s, which is the ceiling; the operator can raise max_wall_time."


def test_what_is_advised_exists():
    (note,) = said("exited", {"workspace": 1})
    assert "--set workspace=SIZE" in note
    assert "workspace" in SETTINGS


def test_other_ends_are_told_too():
    assert said("cancelled", {}) == ["cancelled; its container was removed."]
    assert "sandbox_broken" in said("signaled", {}, reason="sandbox_broken")[0]
    assert said("exited", {"something_new": 2}) == ["the limit something_new was met (2 times)."]


SOUND = Finding(control="net.none", promise="no network", status="ok", evidence="no route")
OLD = Finding(
    control="version", promise="a safe engine", status="warning", evidence="20.10", remedy="upgrade it"
)
BROKEN = Finding(
    control="res.pids", promise="pids are capped", status="failed", evidence="forked 10", remedy="fix"
)
SILENT = Finding(
    control="res.disk", promise="disk is capped", status="unknown", evidence="no probe", remedy="fix"
)


@pytest.fixture
def doctor_finds(monkeypatch):
    def finds(*findings, error=None):
        async def diagnose(config):
            for finding in findings:
                yield finding
            if error is not None:
                raise error

        monkeypatch.setattr("sandbox_runner.cli.doctor.diagnose", diagnose)

    return finds


@pytest.mark.parametrize(
    ("findings", "status"), [((SOUND,), 0), ((SOUND, OLD), 0), ((SOUND, BROKEN), 1), ((SILENT, SOUND), 1)]
)
def test_the_doctor_fails_where_a_control_does_not_hold_or_could_not_be_probed(
    doctor_finds, capsys, findings, status
):
    doctor_finds(*findings)
    assert main(["doctor", "--json"]) == status
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] == (status == 0)
    assert [each["control"] for each in document["findings"]] == [each.control for each in findings]
    assert main(["doctor"]) == status


def test_the_doctor_shows_evidence_and_remedy_of_what_is_not_well(doctor_finds, capsys):
    doctor_finds(SOUND, BROKEN)
    main(["doctor"])
    shown = capsys.readouterr().out
    assert "ok       net.none" in shown
    assert "failed   res.pids" in shown
    assert "forked 10" in shown
    assert "remedy: fix" in shown
    assert "1 of 2 findings cannot be relied on: res.pids." in shown


def test_a_doctor_without_an_engine_says_what_to_do(doctor_finds, capsys):
    doctor_finds(error=EngineUnavailable("No engine; run: sandbox-runner setup"))
    assert main(["doctor"]) == 125
    assert "sandbox-runner setup" in capsys.readouterr().err


STEPS = (
    Progress("image", "python", "Step 1/2 : FROM base", 0, 2),
    Progress("image", "python", "Get:1 \x1b[31mpackages", 0, 2),
    Progress("image", "python", "Step 2/2 : RUN x", 1, 2),
    Progress("image", "python", "is ready", 1, 1),
    Progress("removal", "tag", "Removed the image tag."),
)


def test_progress_without_a_terminal_is_a_line_for_each_step(capsys):
    with shown_progress() as display:
        for step in STEPS:
            display.report(step)
    assert capsys.readouterr().err.splitlines() == [
        "image python 0/2: Step 1/2 : FROM base",
        "image python 1/2: Step 2/2 : RUN x",
        "image python 1/1: is ready",
        "removal tag: Removed the image tag.",
    ]


def test_progress_on_a_terminal_is_drawn_and_lets_a_question_be_asked():
    code = (
        "from sandbox_runner.cli.progress import shown_progress\n"
        "from sandbox_runner.provision.progress import Progress\n"
        "with shown_progress() as display:\n"
        "    display.report(Progress('engine', 'docker', 'Get:1 [red]x\\x1b[31m'))\n"
        "    print('answer', display.ask('Install it.', yes=False))\n"
        "    display.report(Progress('image', 'python', 'is ready', 1, 1))\n"
    )
    ours, terminal = pty.openpty()
    child = subprocess.Popen([sys.executable, "-c", code], stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(ours, 4096)
    os.write(ours, b"y\n")
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # Linux reports the end of a terminal so
        pass
    os.close(ours)
    assert child.wait(60) == 0
    assert b"answer True" in shown
    assert b"image python" in shown
    assert b"[red]x\\x1b[31m" in shown
