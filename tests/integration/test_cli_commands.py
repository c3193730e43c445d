"""The other commands, on a real engine."""

import json
import os
import pty
import re
import subprocess
import sys
import time

import pytest

from sandbox_runner import hardening
from sandbox_runner.definitions import image_tag
from sandbox_runner.engines.docker.inventory import list_runs

pytestmark = pytest.mark.timeout(180)

WAIT = 100  # seconds: a bound for a loaded machine, no test depends on it


@pytest.fixture
def live_run():
    """A run that has begun and waits for its input."""
    command = [sys.executable, "-m", "sandbox_runner", "run", "-c", "print('ready', flush=True); input()"]
    run = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout.readline() == b"ready\n"
    yield run
    run.kill()
    run.communicate()


def rows(text):
    heading, *lines = text.splitlines()
    return [dict(zip(heading.split(), line.split(), strict=False)) for line in lines]


def test_ps_lists_a_live_run_and_kill_ends_it(sandbox_runner, live_run, docker_client):
    shown = rows(sandbox_runner("ps").stdout)
    (mine,) = [row for row in shown if f"{live_run.pid}" in row.values()]
    assert (mine["LANGUAGE"], mine["STATE"]) == ("python", "running")
    killed = sandbox_runner("kill", mine["RUN"])
    assert (killed.stdout, killed.returncode) == (f"{mine['RUN']}\n", 0)
    _, err = live_run.communicate(timeout=WAIT)
    assert live_run.returncode == 137
    assert b"Traceback" not in err
    assert [run for run in list_runs(docker_client) if run.run_id == mine["RUN"]] == []


def test_kill_ends_nothing_where_one_id_is_wrong(sandbox_runner, live_run, docker_client):
    (mine,) = [run for run in list_runs(docker_client) if f":{live_run.pid}:" in run.owner]
    refused = sandbox_runner("kill", mine.run_id, "0123456789abcdef")
    assert refused.returncode == 2
    assert "0123456789abcdef" in refused.stderr
    live_run.communicate(b"go on\n", timeout=WAIT)
    assert live_run.returncode == 0


@pytest.fixture
def leftovers(docker_client):
    """Makes containers that were never started, with labels of our runs or without."""
    made = []

    def make(name, labels):
        host = docker_client.create_host_config(network_mode="none")
        container = docker_client.create_container(
            image_tag("python"),
            command="true",
            name=name,
            labels=labels,
            host_config=host,
            network_disabled=True,
        )
        made.append(container["Id"])
        return container["Id"]

    yield make
    for container in made:
        if docker_client.containers(all=True, filters={"id": container}):
            docker_client.remove_container(container, force=True)


def test_reap_removes_what_nobody_owns_and_nothing_else(sandbox_runner, leftovers, docker_client, live_run):
    now = int(time.time())
    labels = {
        hardening.LABEL_MANAGED: "1",
        hardening.LABEL_RUN: "cli-test-left",
        hardening.LABEL_OWNER: "another-machine:1:1",
        hardening.LABEL_CREATED: str(now - 1000),
        hardening.LABEL_DEADLINE: str(now - 500),
    }
    left = leftovers("cli-test-left", labels)
    leased = leftovers("cli-test-leased", {**labels, hardening.LABEL_DEADLINE: str(now + 1000)})
    foreign = leftovers("cli-test-foreign", {})
    reaped = sandbox_runner("reap")
    assert reaped.returncode == 0
    assert "removed run cli-test-left (command, created)" in reaped.stdout
    there = {container["Id"] for container in docker_client.containers(all=True)}
    assert (left in there, leased in there, foreign in there) == (False, True, True)
    live_run.communicate(b"\n", timeout=WAIT)
    assert live_run.returncode == 0


def test_languages_tell_what_is_ready_and_without_an_engine_that_nobody_knows(sandbox_runner, tmp_path):
    shown = sandbox_runner("languages").stdout
    assert re.search(r"^python +built ", shown, re.MULTILINE)
    assert re.search(r"^haskell +(built|sandbox-runner setup --languages haskell) ", shown, re.MULTILINE)
    ready = {each["name"]: each["ready"] for each in json.loads(sandbox_runner("languages", "--json").stdout)}
    assert ready["python"] is True
    nowhere = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    assert re.search(
        r"^python +unknown: no engine", sandbox_runner("languages", env=nowhere).stdout, re.MULTILINE
    )


def test_images_are_listed_with_their_status_and_size(sandbox_runner):
    shown = sandbox_runner("images", "--size").stdout
    assert re.search(r"^python +built ", shown, re.MULTILINE)
    assert " MiB" in shown
    assert "SIZE" not in sandbox_runner("images").stdout


@pytest.mark.parametrize("command", ["ps", "kill 1", "reap", "images"])
def test_without_an_engine_a_command_says_what_to_do(sandbox_runner, command):
    ran = sandbox_runner(*command.split(), "--set", "docker_host=unix:///nowhere.sock")
    assert (ran.returncode, ran.stdout) == (125, "")
    assert "sandbox-runner setup" in ran.stderr
    assert ran.stderr.count("\n") == 1


def on_a_terminal(*words, **environ):
    """What a command prints where its stdout is a terminal."""
    reading, terminal = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {"TERM": "xterm"} | environ
    command = [sys.executable, "-m", "sandbox_runner", *words]
    with os.fdopen(reading, "rb", buffering=0) as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal, env=env
        )
        os.close(terminal)
        shown = b""
        try:
            while piece := output.read(1 << 16):
                shown += piece
        except OSError:  # Linux reports the end of a terminal so
            pass
        assert process.wait(WAIT) == 0
    return shown


def test_a_terminal_gets_styles_unless_no_color_is_set_and_a_pipe_never_does(sandbox_runner):
    assert b"\x1b[" in on_a_terminal("languages")
    assert b"\x1b" not in on_a_terminal("languages", NO_COLOR="1")
    assert "\x1b" not in sandbox_runner("languages").stdout


def test_what_a_program_prints_reaches_the_terminal_as_it_is():
    shown = on_a_terminal("run", "-c", r"print('\x1b[31mred', end='')", NO_COLOR="1")
    assert shown == b"\x1b[31mred"
