"""What the README shows is what happens: its programs and commands are run on a real engine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from blocks import commands, matches, programs

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PROGRAMS, COMMANDS = programs(README), commands(README)
WAIT = 200  # seconds: a bound for a loaded machine, no test depends on it
INSTALLERS = ("apt-get", "pip ", "npm ", "docker pull", "curl ")


def at_line(program) -> str:
    return f"line {program.line}"


@pytest.fixture
def environment(tmp_path):
    """What a user has: `sandbox-runner` on PATH, and the package."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "sandbox-runner").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sandbox_runner "$@"\n')
    (commands / "sandbox-runner").chmod(0o755)
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}


def printed(command, environment, folder) -> tuple[str, int]:
    """What ``command`` prints on stdout and stderr together, and its exit status."""
    ran = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=environment,
        timeout=WAIT,
    )
    return ran.stdout, ran.returncode


def test_the_readme_shows_programs_and_commands():
    assert PROGRAMS
    assert COMMANDS


@pytest.mark.parametrize("program", PROGRAMS, ids=at_line)
def test_a_program_of_the_readme_runs_and_prints_what_it_says(program, environment, tmp_path):
    shown, status = printed([sys.executable, "-c", program.code], environment, tmp_path)
    assert status == 0, shown
    if program.printed is not None:
        assert matches(shown, program.printed), shown


@pytest.mark.parametrize("command", COMMANDS, ids=at_line)
def test_a_command_of_the_readme_prints_what_it_says(command, environment, tmp_path):
    assert command.code.startswith("sandbox-runner "), "console blocks show sandbox-runner; others are ```sh"
    assert not any(word in command.code for word in INSTALLERS), "a test installs nothing"
    shown, _ = printed(["sh", "-c", command.code], environment, tmp_path)
    assert matches(shown, command.printed), shown
