"""Engines behind no Unix socket: tcp, tcp with TLS, and ssh, each for real on the loopback interface.

tcp and TLS lead through a proxy to this machine's daemon; TLS has an authority of its own and asks the client
for a certificate. ssh leads to an sshd with a key of its own.
"""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from engine_doors import make_certificates, proxy, sshd

from sandbox_runner import Exited, Limits, Output, Runner, RunRequest, Started
from sandbox_runner.engines.docker.connection import connect, find_address
from sandbox_runner.engines.docker.inventory import list_runs
from sandbox_runner.errors import EngineUnavailable

pytestmark = [pytest.mark.timeout(180), pytest.mark.anyio]

WAIT = 100  # seconds: a bound for a loaded machine, no test depends on it
DATA = bytes(range(256)) * (12 << 10)  # 3 MiB: more than all buffers on the way hold
DOORS = ("tcp", "tls", "ssh")


@pytest.fixture(scope="module")
def engine_socket():
    address = find_address(None)
    assert address.startswith("unix://"), "these tests need a local engine's socket: unset DOCKER_HOST"
    return address.removeprefix("unix://")


@pytest.fixture(scope="module")
def tcp_door(engine_socket):
    with proxy(engine_socket) as port:
        yield {"DOCKER_HOST": f"tcp://127.0.0.1:{port}"}


@pytest.fixture(scope="module")
def tls_door(engine_socket, tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    with proxy(engine_socket, context=make_certificates(folder)) as port:
        yield {
            "DOCKER_HOST": f"tcp://127.0.0.1:{port}",
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(folder),
        }


@pytest.fixture(scope="module")
def ssh_door(engine_socket, tmp_path_factory):
    with sshd(tmp_path_factory.mktemp("ssh"), engine_socket) as (port, commands):
        yield {
            "DOCKER_HOST": f"ssh://127.0.0.1:{port}",
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        }


@pytest.fixture(params=DOORS)
def door(request, monkeypatch):
    """The environment leads to the engine by another way than its socket."""
    environment = request.getfixturevalue(f"{request.param}_door")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return request.param


@pytest.fixture
def foreign(debian):
    """An image without the agent."""
    return debian.reference


@pytest.fixture
async def runner(door, docker_client):
    async with Runner.open() as runner:
        yield runner
    assert [run for run in list_runs(docker_client) if f":{os.getpid()}:" in run.owner] == []


async def test_a_program_runs_and_tells_how_it_ended(runner):
    code = "import sys; print(open(0).read().upper()); print('err', file=sys.stderr); sys.exit(3)"
    result = await runner.run(RunRequest(language="python", code=code, stdin="from here"))
    assert (result.stdout, result.stderr, result.exit_code) == ("FROM HERE\n", "err\n", 3)


async def test_input_and_output_pass_while_the_program_runs(runner):
    asked, answers = anyio.Event(), []

    async def lines():
        for line in (b"one\n", b"two\n"):
            yield line
            await asked.wait()  # the next line waits for the answer to this one

    request = RunRequest(
        language="python", code="for line in open(0): print(line.upper(), end='', flush=True)", stdin=lines()
    )
    async with runner.stream(request) as events:
        async for event in events:
            if isinstance(event, Output):
                answers.append(event.text)
                asked.set()
            last = event
    assert "".join(answers) == "ONE\nTWO\n"
    assert answers[0] == "ONE\n"
    assert isinstance(last, Exited)


async def test_much_data_passes_both_ways_at_once(runner):
    received = hashlib.sha256()
    async with runner.stream(RunRequest(command=["cat"], stdin=DATA), lossless=True) as events:
        async for event in events:
            if isinstance(event, Output):
                received.update(event.data)
        result = await events.result()
    assert (result.status, result.usage.stdout_bytes) == ("exited", len(DATA))
    assert received.digest() == hashlib.sha256(DATA).digest()


async def test_containers_wait_elsewhere_too_and_one_that_died_is_replaced(door, docker_client):
    async with Runner.open(pool=True) as runner:
        pool = runner._engine

        async def until(condition):
            with anyio.fail_after(WAIT):
                while not condition():
                    await pool._changed.wait()

        assert (await runner.run(RunRequest(command=["true"]))).ok
        await until(lambda: len(pool.waiting) == 1)
        (waited,) = pool.waiting
        await anyio.to_thread.run_sync(docker_client.kill, waited)
        await until(lambda: len(pool.waiting) == 1 and pool.waiting != [waited])
        assert (await runner.run(RunRequest(command=["cat"], stdin="hi"))).stdout == "hi"
    assert [run for run in list_runs(docker_client) if f":{os.getpid()}:" in run.owner] == []


async def test_the_end_of_input_reaches_an_image_without_the_agent(runner, foreign):
    """Only a half-close tells it; what it prints after that must still arrive."""
    result = await runner.run(RunRequest(command=["sort"], stdin=b"b\nc\na\n", image=foreign))
    assert (result.stdout, result.exit_code) == ("a\nb\nc\n", 0)
    counted = await runner.run(
        RunRequest(command=["sh", "-c", "cat | wc -c; sleep 1; echo later"], stdin=DATA, image=foreign)
    )
    assert counted.stdout.split() == [str(len(DATA)), "later"]


async def test_a_cancelled_run_ends_and_its_container_is_gone(runner, docker_client):
    async with runner.stream(
        RunRequest(language="python", code="print('up', flush=True)\nwhile True: pass")
    ) as run:
        async for event in run:
            if isinstance(event, Output):
                run.cancel()
        result = await run.result()
    assert (result.status, result.stdout) == ("cancelled", "up\n")
    assert run.run_id not in {each.run_id for each in list_runs(docker_client)}


async def test_leaving_the_context_removes_a_running_container(runner, docker_client, foreign):
    for image in (None, foreign):
        async with runner.stream(RunRequest(command=["sleep", "100"], image=image)) as run:
            async for event in run:
                assert isinstance(event, Started)
                break
        assert run.run_id not in {each.run_id for each in list_runs(docker_client)}


async def test_the_deadline_holds(runner, foreign):
    for image in (None, foreign):
        request = RunRequest(command=["sleep", "100"], image=image, limits=Limits(wall_time=1))
        assert (await runner.run(request)).status == "timed_out"


async def test_several_runs_at_once_do_not_mix(runner):
    shown = {}

    async def one(number):
        shown[number] = (await runner.run(RunRequest(language="python", code=f"print({number})"))).stdout

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(one, number)
    assert shown == {number: f"{number}\n" for number in range(4)}


def test_a_killed_command_line_leaves_no_container(door, docker_client):
    words = ["run", "--timeout", "60", "-c", "print('up', flush=True)\nwhile True: pass"]
    run = subprocess.Popen(
        [sys.executable, "-m", "sandbox_runner", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert run.stdout.readline() == b"up\n"
    run.send_signal(signal.SIGKILL)
    run.communicate()
    while [live for live in list_runs(docker_client) if f":{run.pid}:" in live.owner]:
        pass  # bounded by the test's own timeout


@pytest.mark.parametrize("door", ["tls"], indirect=True)
def test_a_server_whose_certificate_is_not_trusted_is_refused(door, tmp_path, monkeypatch):
    make_certificates(tmp_path)
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(EngineUnavailable, match="does not vouch for"):
        connect(None)


@pytest.mark.parametrize("door", ["tls"], indirect=True)
def test_a_certificate_of_ours_that_the_engine_does_not_know_is_told(door, tmp_path, monkeypatch):
    make_certificates(tmp_path)
    shutil.copy(Path(os.environ["DOCKER_CERT_PATH"], "ca.pem"), tmp_path)
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(EngineUnavailable, match="certificate"):
        connect(None)


@pytest.mark.parametrize("door", ["tls"], indirect=True)
def test_certificates_that_are_missing_are_told(door, tmp_path, monkeypatch):
    there = Path(os.environ["DOCKER_CERT_PATH"])
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(EngineUnavailable, match="put them there"):
        connect(None)
    for name in ("cert.pem", "key.pem"):
        shutil.copy(there / name, tmp_path)
    with pytest.raises(EngineUnavailable, match="put them there"):
        connect(None)


@pytest.mark.parametrize("door", ["tls"], indirect=True)
def test_a_bundle_of_other_authorities_in_the_environment_changes_nothing(door, tmp_path, monkeypatch):
    make_certificates(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with closing(connect(None)) as client:
        assert client.ping()


def test_an_ssh_port_that_nobody_listens_on_is_told_in_one_sentence(sandbox_runner, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("DOCKER_HOST", f"ssh://127.0.0.1:{port}")
    ran = sandbox_runner("run", "-c", "print(1)")
    assert (ran.returncode, ran.stdout) == (125, "")
    assert "Traceback" not in ran.stderr
    assert f"ssh://127.0.0.1:{port}" in ran.stderr
