"""Exit statuses, and what is said on stderr."""

import pytest

from sandbox_runner import errors
from sandbox_runner.cli.exits import error_status, exit_status, guarded, one_line
from sandbox_runner.events import Usage
from sandbox_runner.result import RunResult


def result(status, *, exit_code=None, signal=None):
    return RunResult(
        run_id="1",
        status=status,
        exit_code=exit_code,
        signal=signal,
        reason="",
        captured={},
        usage=Usage(1.0),
    )


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        (result("exited", exit_code=0), 0),
        (result("exited", exit_code=7), 7),
        (result("exited", exit_code=255), 255),
        (result("signaled", signal=15), 143),
        (result("timed_out"), 124),
        (result("out_of_memory"), 137),
        (result("cpu_limit"), 152),
        (result("output_limit"), 153),
        (result("cancelled"), 130),
    ],
    ids=lambda value: getattr(value, "status", value),
)
def test_a_result_has_the_exit_status_that_a_shell_user_expects(ended, status):
    assert exit_status(ended) == status


def every(kind):
    return [kind, *(each for child in kind.__subclasses__() for each in every(child))]


def test_each_error_has_the_exit_status_of_its_branch():
    for kind in every(errors.RequestRejected) + every(errors.ConfigError):
        assert error_status(kind("x")) == 2
    for kind in every(errors.Busy):
        assert error_status(kind("x", retry_after=1)) == 75
    for kind in every(errors.EngineError):
        assert error_status(kind("x")) == 125


def raising(error):
    def command():
        raise error

    return command


def test_an_error_is_one_line_on_stderr_without_a_traceback(capsys):
    assert guarded(raising(errors.InvalidRequest("The code is empty."))) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "sandbox-runner: The code is empty.\n")


def test_busy_says_when_to_try_again(capsys):
    assert guarded(raising(errors.QueueFull("All places are taken.", retry_after=3.2))) == 75
    assert "Retry in 3 s." in capsys.readouterr().err


def test_an_interrupt_before_anything_runs_gives_130_and_says_nothing(capsys):
    assert guarded(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == ""


def test_a_bug_of_ours_is_shown_and_never_ends_with_a_status_that_a_program_would_have(capsys):
    assert guarded(raising(ZeroDivisionError("oops"))) == 125
    assert "ZeroDivisionError: oops" in capsys.readouterr().err


def test_what_could_steer_a_terminal_is_made_visible():
    assert one_line("a\x1b[31mb\nc\u202ed") == r"a\x1b[31mb\nc\u202ed"
