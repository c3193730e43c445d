"""What setup decides, says and records, as far as no engine is needed for it."""

import sys

import pytest

from sandbox_runner.errors import EngineUnavailable, SandboxError
from sandbox_runner.languages import find_language
from sandbox_runner.places import session_folder, state_folder
from sandbox_runner.provision.commands import CommandFailed, run_command
from sandbox_runner.provision.engine_install import ensure_engine, stop_daemon
from sandbox_runner.provision.host import Host
from sandbox_runner.provision.selftest import require_passed, run_selftests
from sandbox_runner.provision.state import Daemon, SetupState, load_state, save_state
from sandbox_runner.provision.uninstall import uninstall


def nobody_answers():
    raise EngineUnavailable("No Docker engine was found on this machine.")


def never_asked(question: str) -> bool:
    raise AssertionError(question)


def find(tmp_path, *, connect=nobody_answers, consent=never_asked, remote=False, **host):
    described = {"system": "Linux", "debian": True, "root": True, "systemd": False, **host}
    return ensure_engine(
        connect,
        host=Host(**described),
        folder=tmp_path,
        remote=remote,
        consent=consent,
        report=lambda progress: None,
    )


@pytest.mark.parametrize(
    ("host", "advice"),
    [
        ({"system": "Darwin", "debian": False}, "Docker Desktop"),
        ({"system": "Windows", "debian": False, "root": False}, "Docker Desktop"),
        ({"root": False}, "sudo sandbox-runner setup --yes"),
        ({"root": False}, "sudo usermod -aG docker $USER"),
        ({"root": False, "debian": False}, "dnf install moby-engine"),
    ],
)
def test_where_nothing_can_be_installed_it_says_what_to_do(tmp_path, host, advice):
    with pytest.raises(EngineUnavailable) as caught:
        find(tmp_path, **host)
    assert advice in str(caught.value)


def test_root_on_another_distribution_is_told_its_packages(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineUnavailable, match="pacman -S"):
        find(tmp_path, debian=False)


def test_nothing_is_installed_without_consent_and_the_question_names_what_would_be(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    questions = []
    with pytest.raises(EngineUnavailable, match=r"`sandbox-runner setup --yes` installs one"):
        find(tmp_path, consent=lambda question: bool(questions.append(question)))
    (question,) = questions
    assert "docker.io" in question
    assert "apt-get" in question


@pytest.mark.parametrize("why", ["No Docker engine answers at tcp://elsewhere:2376."])
def test_an_engine_that_was_named_is_not_replaced_by_another(tmp_path, why):
    def connect():
        raise EngineUnavailable(why)

    with pytest.raises(EngineUnavailable, match="elsewhere"):
        find(tmp_path, connect=connect, remote=True)


def test_an_engine_that_refuses_this_user_is_not_installed_a_second_time(tmp_path):
    def connect():
        raise EngineUnavailable("The Docker engine at x refuses this user. Add the user to the group.")

    with pytest.raises(EngineUnavailable, match="Add the user to the group"):
        find(tmp_path, connect=connect, root=False)


def test_what_is_recorded_is_read_back(tmp_path):
    state = SetupState(
        packages=("a", "b"), daemon=Daemon(7, 1.5), service=True, pulled=("debian:trixie-slim",)
    )
    save_state(tmp_path / "new", state)
    assert load_state(tmp_path / "new") == state


def test_a_record_of_nothing_is_no_file_and_no_folder(tmp_path):
    folder = tmp_path / "new"
    save_state(folder, SetupState(packages=("a",)))
    save_state(folder, SetupState())
    assert not folder.exists()
    assert load_state(folder) == SetupState()


@pytest.mark.parametrize("text", ["{", "{}", '{"packages": 1}', "[]"])
def test_a_record_that_cannot_be_read_is_named(tmp_path, text):
    (tmp_path / "setup.json").write_text(text)
    with pytest.raises(SandboxError, match=r"setup\.json cannot be read"):
        load_state(tmp_path)


def test_the_record_is_where_the_platform_keeps_such_things(tmp_path, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_folder() == tmp_path / "sandbox-runner"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert str(state_folder()) == "/var/lib/sandbox-runner"
    assert session_folder() == tmp_path / "sandbox-runner"
    for nothing in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", nothing)
        assert session_folder() == state_folder()


def test_a_process_that_took_over_the_number_of_our_daemon_is_left_alone():
    import os

    assert stop_daemon(Daemon(os.getpid(), 1.0)) is False


def test_uninstalling_where_nothing_was_set_up_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert uninstall(nobody_answers, folder=tmp_path / "none", report=lambda progress: None) == ()
    assert not (tmp_path / "none").exists()


def test_uninstalling_takes_away_what_sessions_have_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "no-engine"))
    for kept in ("snapshots/one.tar.gz", "history-python"):
        (tmp_path / kept).parent.mkdir(exist_ok=True)
        (tmp_path / kept).touch()
    uninstall(nobody_answers, folder=tmp_path, report=lambda progress: None)
    assert not [*tmp_path.glob("snapshots"), *tmp_path.glob("history-*")]


def test_a_command_hands_on_its_lines_and_keeps_the_last():
    lines = []
    code = "import sys\nfor n in range(20): print(n)\nprint('end', file=sys.stderr)"
    last = run_command([sys.executable, "-u", "-c", code], on_line=lines.append, timeout=60)
    assert lines == [*map(str, range(20)), "end"]
    assert last == tuple(lines[-15:])


@pytest.mark.parametrize(
    ("argv", "timeout", "message"),
    [
        ((sys.executable, "-c", "print('why'); exit(3)"), 60, "failed with status 3"),
        (
            (sys.executable, "-c", "import time; print('why', flush=True); time.sleep(600)"),
            2,
            "did not end within 2 s",
        ),
    ],
)
def test_a_command_that_fails_or_hangs_tells_why(argv, timeout, message):
    with pytest.raises(CommandFailed, match=message) as caught:
        run_command(argv, on_line=lambda line: None, timeout=timeout)
    assert caught.value.lines == ("why",)


def test_a_command_that_is_not_there_is_named():
    with pytest.raises(CommandFailed, match="no-such-program could not be started"):
        run_command(["no-such-program"], on_line=lambda line: None, timeout=60)


@pytest.mark.anyio
async def test_a_self_test_that_prints_something_else_fails_with_what_it_printed():
    async def run(language: str, code: str) -> str:
        return "Segmentation fault\n"

    outcomes = await run_selftests(
        run, [find_language("bash"), find_language("python")], report=lambda progress: None
    )
    with pytest.raises(SandboxError, match="fails for bash, python") as caught:
        require_passed(outcomes)
    assert set(caught.value.lines) == {"Segmentation fault"}
