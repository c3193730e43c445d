"""Help, version, completion, and what a run does not import."""

import subprocess
import sys

import pytest

from sandbox_runner import __version__
from sandbox_runner.cli import COMMANDS, main

SHELLS = ("bash", "zsh", "tcsh", "fish")


def shown(capsys, *words):
    status = main(words)
    return status, capsys.readouterr()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_has_examples_of_it(command, capsys):
    status, out = shown(capsys, command, "--help")
    assert status == 0
    assert COMMANDS[command] in out.out.replace("\n", " ")
    examples = out.out.partition("examples:\n")[2]
    assert f"sandbox-runner {command}" in examples


def test_the_help_lists_every_command_and_the_version_is_told(capsys):
    _, out = shown(capsys, "--help")
    assert all(f"\n  {command} " in out.out for command in COMMANDS)
    assert "examples:" in out.out
    assert shown(capsys, "--version")[1].out == f"sandbox-runner {__version__}\n"


def test_no_command_or_an_unknown_one_is_refused_with_what_was_meant(capsys):
    status, out = shown(capsys)
    assert (status, out.out) == (2, "")
    assert "give a command: setup, run" in out.err
    status, out = shown(capsys, "rnu")
    assert status == 2
    assert "did you mean run?" in out.err


@pytest.mark.parametrize("shell", SHELLS)
def test_the_completion_script_of_each_shell_knows_every_command(shell, capsys):
    status, out = shown(capsys, "completion", shell)
    assert status == 0
    assert [command for command in COMMANDS if command not in out.out] == []
    assert "--timeout" in out.out.replace(" timeout", " --timeout").replace("-l timeout", "--timeout")


def test_bash_completes_commands_options_and_files(capsys, tmp_path):
    script = tmp_path / "completion"
    script.write_text(shown(capsys, "completion", "bash")[1].out)
    (tmp_path / "analysis.py").write_text("")

    def completed(*words):
        code = (
            f"source {script}; COMP_WORDS=(sandbox-runner {' '.join(words)}); COMP_CWORD={len(words)}; "
            "$(complete -p sandbox-runner | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "
            "printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        ran = subprocess.run(["bash", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
        return ran.stdout.split()

    assert completed("un") == ["uninstall"]
    assert completed("run", "--ti") == ["--timeout"]
    assert completed("run", "ana") == ["analysis.py"]
    assert completed("run", "--stdin", "ana") == ["analysis.py"]
    assert completed("completion", "z") == ["zsh"]
    assert completed("install", "claude") == ["claude-desktop", "claude-code"]


def test_a_run_imports_neither_rich_nor_shtab_nor_other_commands():
    code = (
        "import sys\n"
        "from sandbox_runner.cli import main\n"
        "status = main(['run', '-c', ''])\n"
        "from sandbox_runner.cli import COMMANDS\n"
        "others = {f'sandbox_runner.cli.{name}' for name in COMMANDS if name != 'run'}\n"
        "heavy = {'rich', 'shtab', 'docker', 'mcp', 'starlette', 'uvicorn'}\n"
        "print(status, sorted((others | heavy) & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "2 []\n"


def test_config_shows_each_value_and_its_source(capsys, monkeypatch):
    monkeypatch.setenv("SANDBOX_RUNNER_MEMORY", "1g")
    status, out = shown(capsys, "config", "--set", "pids=99")
    rows = {line.split()[0]: line.split()[1:] for line in out.out.splitlines()}
    assert status == 0
    assert rows["memory"] == ["1g", "environment", "SANDBOX_RUNNER_MEMORY"]
    assert rows["pids"] == ["99", "command", "line"]
    assert rows["tmp"] == ["64m", "default"]


def test_uninstall_does_nothing_unasked(capsys):
    status, out = shown(capsys, "uninstall")
    assert status == 2
    assert "give --yes" in out.err


def test_kill_needs_to_be_told_what_to_end(capsys):
    for words in (["kill"], ["kill", "--all", "0123456789abcdef"]):
        status, out = shown(capsys, *words)
        assert status == 2
        assert "sandbox-runner ps" in out.err
