"""What a client is told to start: absolute, and with what the server needs."""

import os
import sys
from pathlib import Path

import pytest

from sandbox_runner.clients.command import server_command
from sandbox_runner.errors import InvalidRequest

PACKAGE = Path(__file__).parents[2]


def made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)
    return path


def test_the_console_script_beside_the_interpreter_is_started(tmp_path):
    script = made(tmp_path / "bin" / "sandbox-runner")
    found = server_command({}, environ={}, executable=tmp_path / "bin" / "python")
    assert (found.command, found.args, found.env) == (str(script), ("stdio",), {})


def test_a_link_to_the_interpreter_is_not_followed_out_of_its_environment(tmp_path):
    script = made(tmp_path / "venv" / "bin" / "sandbox-runner")
    interpreter = script.with_name("python")
    interpreter.symlink_to(sys.executable)
    assert server_command({}, environ={}, executable=interpreter).command == str(script)


def test_a_checkout_is_started_as_a_module_that_is_found_from_any_folder(tmp_path):
    found = server_command({"memory": "1g"}, environ={}, executable=tmp_path / "python")
    assert found.command == str(tmp_path / "python")
    assert found.args == ("-m", "sandbox_runner", "stdio", "--set", "memory=1g")
    assert found.env == {"PYTHONPATH": str(PACKAGE)}


def test_a_relative_interpreter_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert server_command({}, environ={}, executable=Path("python")).command == str(tmp_path / "python")


@pytest.mark.parametrize("found_by", ["UV", "PATH"])
def test_from_the_cache_of_uv_uvx_is_registered(tmp_path, found_by):
    uvx = made(tmp_path / "tools" / "uvx")
    interpreter = made(tmp_path / "cache" / "uv" / "archive-v0" / "aBc" / "bin" / "python")
    made(interpreter.with_name("sandbox-runner"))
    environ = {"UV": {"UV": str(uvx.with_name("uv"))}, "PATH": {"PATH": f"/nowhere{os.pathsep}{uvx.parent}"}}
    found = server_command({"pids": "9"}, environ=environ[found_by], executable=interpreter)
    assert (found.command, found.args) == (str(uvx), ("sandbox-runner", "stdio", "--set", "pids=9"))


def test_from_the_cache_of_uv_without_uvx_an_installation_is_asked_for(tmp_path):
    with pytest.raises(InvalidRequest, match="uv tool install sandbox-runner"):
        server_command({}, environ={}, executable=tmp_path / "environments-v2" / "x" / "bin" / "python")


def test_what_the_server_needs_goes_along_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "sandbox-runner")
    environ = {
        "DOCKER_HOST": "ssh://me@host",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": "certificates",
        "XDG_CONFIG_HOME": "",
        "SANDBOX_RUNNER_CONFIG": "limits.toml",
        "SANDBOX_RUNNER_MEMORY": "1g",
        "SANDBOX_RUNNER_TEST_BASE": "debian",
        "XDG_RUNTIME_DIR": str(tmp_path),
        "PATH": "/bin",
        "SECRET": "s",
    }
    assert server_command({}, environ=environ, executable=tmp_path / "python").env == {
        "DOCKER_HOST": "ssh://me@host",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(tmp_path / "certificates"),
        "SANDBOX_RUNNER_CONFIG": str(tmp_path / "limits.toml"),
        "SANDBOX_RUNNER_MEMORY": "1g",
    }


@pytest.mark.parametrize("socket", ["docker.sock", "podman/podman.sock"])
def test_the_folder_of_a_rootless_engine_goes_along(tmp_path, socket):
    made(tmp_path / socket)
    made(tmp_path / "sandbox-runner")
    found = server_command({}, environ={"XDG_RUNTIME_DIR": str(tmp_path)}, executable=tmp_path / "python")
    assert found.env == {"XDG_RUNTIME_DIR": str(tmp_path)}


def test_a_path_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="is not text"):
        server_command({}, environ={}, executable=tmp_path / os.fsdecode(b"\xff") / "python")
