"""The kernel of the shell, with the bash of this machine."""

import pytest
from kernels import LocalKernel

from sandbox_runner.languages import find_language


@pytest.fixture
def shell(tmp_path):
    with LocalKernel(find_language("bash").kernel, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}) as kernel:
        yield kernel


def test_folder_variables_and_functions_are_kept(shell, tmp_path):
    cell = shell(
        "mkdir a; cd a; export A=1; b=(1 2); declare -A c=([k]=v); f() { echo f$1; }; shopt -s nullglob"
    )
    assert (cell.code, cell.stdout, cell.stderr) == (0, "", "")
    cell = shell('pwd; echo $A ${b[1]} ${c[k]}; f 2; echo *; echo "$0"; bash -c "echo \\$A"')
    assert cell.stdout == f"{tmp_path}/a\n1 2 v\nf2\n\nbash\n1\n"
    assert cell.stderr == ""


def test_exit_codes_are_those_of_the_last_command(shell):
    assert shell("false").code == 1
    assert shell("echo $?").stdout == "1\n"
    assert shell("(exit 77)").code == 77
    assert shell("no-such-command").stderr == "bash: no-such-command: command not found\n"
    assert shell("true").code == 0


def test_code_of_many_lines_and_bytes_runs_whole(shell):
    assert (
        shell("cat <<X\none\ntwo\nX\nfor i in 1 2; do\n  echo $i\ndone\necho \u20ac").stdout
        == "one\ntwo\n1\n2\n\u20ac\n"
    )
    assert shell("x='" + "y" * 30_000 + "'; echo ${#x}").stdout == "30000\n"


def test_what_is_wrong_in_the_code_harms_no_later_one(shell):
    for code in (
        "if",
        "echo 'open",
        "return 3",
        "break",
        ")",
        "run() { :; }",
        "PS1='$ '; set -x",
        "exec 3>&1 4>&1",
    ):
        shell(code)
    cell = shell("set +x; echo well")
    assert cell.stdout == "well\n"


def test_set_e_ends_the_shell_as_it_does_anywhere(shell):
    assert shell("set -eu").code == 0
    assert shell("true; echo fine").stdout == "fine\n"
    assert shell("false; echo not").code is None
    assert shell.process.wait() == 1


def test_exit_ends_the_shell_without_a_word(shell):
    cell = shell("exit 5")
    assert (cell.code, cell.stdout, cell.stderr, shell.process.wait()) == (None, "", "", 5)


@pytest.mark.parametrize(
    "code", ["while :; do :; done", "sleep 1000; echo not", "cat | cat", "read x", "f() { sleep 1000; }; f"]
)
def test_an_interrupt_keeps_the_state(shell, code):
    shell("x=1")
    cell = shell(f"echo up; {code}", interrupt_at=b"up")
    assert (cell.code, cell.stdout) == (130, "up\n")
    assert shell("echo $x; echo $?").stdout == "1\n0\n"


def test_what_was_started_in_the_background_outlives_an_interrupt(shell):
    shell("sleep 1000 & echo $!")
    shell("echo up; sleep 1000", interrupt_at=b"up")
    assert shell("kill -0 %1 2>/dev/null || kill -0 $!").code == 0


def test_programs_read_the_jobs_stdin(shell):
    assert shell("read a; head -c 4", stdin=b"one\ntwo\n").stdout == "two\n"


@pytest.mark.parametrize("code", ["break", "kill -INT $$; while :; do :; done"])
def test_it_may_be_left_for_its_top_any_number_of_times(shell, code):
    shell("a=6")
    for _ in range(4200):
        assert shell(code).code is not None
    assert shell("echo $a").stdout == "6\n"
