"""A real engine behind a connection that fails: what is safe is repeated, the rest is said."""

import asyncio
import threading
from collections.abc import Callable, Container
from contextlib import closing

import pytest
from anyio import to_thread
from docker.transport.unixconn import UnixHTTPConnection
from faulty_proxy import proxied

from sandbox_runner import Config, Limits, Output, Runner, RunRequest
from sandbox_runner.engines.docker import begin, mapping
from sandbox_runner.engines.docker.connection import connect
from sandbox_runner.engines.docker.inventory import list_runs
from sandbox_runner.engines.docker.removal import state_of
from sandbox_runner.errors import ControlNotEnforced, EngineError, EngineUnavailable, StartFailed
from sandbox_runner.spec import ContainerSpec

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]
ECHO = RunRequest(command=["echo", "hi"])
SLEEP = RunRequest(command=["sleep", "60"])


class Fault:
    """A fault for the first request whose line contains ``words``, or for those of the numbers ``which``."""

    def __init__(self, what: str, words: str, *, which: Container[int] = (1,)) -> None:
        self.what, self.words, self.which, self.seen = what, words, which, 0

    def __call__(self, line: str) -> str | None:
        if self.words not in line:
            return None
        self.seen += 1
        return self.what if self.seen in self.which else None


def body_with(change: dict[str, object]) -> Callable[[ContainerSpec], dict[str, object]]:
    """`create_body` with other settings of the host."""

    def body(spec):
        made = mapping.create_body(spec)
        return made | {"HostConfig": made["HostConfig"] | change}

    return body


@pytest.mark.parametrize(
    ("what", "which", "seen"),
    [
        ("refuse", (1,), 2),
        ("swallow", (1,), 3),  # the second finds the first one's container and removes it
        ("swallow", (1, 3), 5),
        ("swallow", (1, 2), 4),  # that it was found is lost, too
    ],
)
async def test_create_is_repeated_under_the_same_name(
    tmp_path, engine_socket, docker_client, what, which, seen
):
    fault = Fault(what, "/containers/create", which=which)
    with proxied(tmp_path, engine_socket, fault) as (address, _):
        async with Runner.open(Config(docker_host=address)) as runner:
            async with runner.stream(ECHO) as stream:
                mine = [run for run in list_runs(docker_client) if run.run_id == stream.run_id]
                assert len(mine) == 1
                assert (await stream.result()).stdout == "hi\n"
    assert fault.seen == seen


async def test_a_task_that_is_cancelled_while_the_engine_creates_leaves_no_container(tmp_path, engine_socket):
    creating, cancelled = threading.Event(), threading.Event()

    def hold(line: str) -> None:
        if "/containers/create" in line:
            creating.set()
            cancelled.wait()

    with proxied(tmp_path, engine_socket, hold) as (address, _):
        async with Runner.open(Config(docker_host=address)) as runner:
            task = asyncio.create_task(runner.run(ECHO))
            await to_thread.run_sync(creating.wait)
            task.cancel()  # of asyncio itself: anyio's shields do not stop it
            asyncio.get_running_loop().call_soon(cancelled.set)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await runner.run(ECHO)).ok  # what the engine was still doing is done by now


async def test_start_is_never_repeated(tmp_path, engine_socket):
    fault = Fault("swallow", "/start ")
    with proxied(tmp_path, engine_socket, fault) as (address, _):
        async with Runner.open(Config(docker_host=address)) as runner:
            with pytest.raises(EngineUnavailable, match="stopped answering"):
                await runner.run(ECHO)
    assert fault.seen == 1


async def test_repeating_has_a_bound(tmp_path, engine_socket):
    fault = Fault("refuse", "/containers/create", which=range(1000))
    with proxied(tmp_path, engine_socket, fault) as (address, _):
        async with Runner.open(Config(docker_host=address)) as runner:
            with pytest.raises(EngineUnavailable):
                await runner.run(ECHO)
    assert fault.seen == 5


async def test_a_stream_that_is_cut_is_a_broken_sandbox_with_what_was_printed(tmp_path, engine_socket):
    with proxied(tmp_path, engine_socket, lambda line: None) as (address, cut):
        async with Runner.open(Config(docker_host=address)) as runner:
            request = RunRequest(command=["sh", "-c", "echo hi; exec sleep 60"])
            async with runner.stream(request) as stream:
                async for event in stream:
                    if isinstance(event, Output):
                        cut()
                result = await stream.result()
    assert (result.status, result.reason, result.stdout) == ("signaled", "sandbox_broken", "hi\n")


async def test_a_container_removed_behind_our_back_is_a_broken_sandbox(docker_client):
    async with Runner.open() as runner:
        async with runner.stream(RunRequest(command=["sh", "-c", "echo hi; exec sleep 60"])) as stream:
            async for event in stream:
                if isinstance(event, Output):
                    docker_client.kill(f"sandbox-runner-{stream.run_id}")
            result = await stream.result()
    assert (result.status, result.signal, result.reason) == ("signaled", 9, "sandbox_broken")


@pytest.mark.parametrize("runs_on", [False, True], ids=["ends", "runs on"])
async def test_an_engine_that_knows_no_wait_for_a_removal_is_looked_at_until_the_container_is_gone(
    tmp_path, engine_socket, docker_client, runs_on
):
    """It answers at once, as older ones and Podman do."""
    found = []

    def lie(line: str) -> str | None:
        if "condition=removed" not in line:
            return None
        with closing(connect(None)) as client:
            found.append(state_of(client, line.split("/containers/")[1].split("/")[0]))
        return "lie"

    with proxied(tmp_path, engine_socket, lie) as (address, _):
        async with Runner.open(Config(docker_host=address)) as runner:
            async with runner.stream(SLEEP if runs_on else ECHO) as stream:
                async for _ in stream:
                    if runs_on:
                        break
            if runs_on:  # what ended by itself is removed behind the result, before the runner's end
                assert state_of(docker_client, f"sandbox-runner-{stream.run_id}") is None
        assert state_of(docker_client, f"sandbox-runner-{stream.run_id}") is None
    assert any(found), "the container was gone whenever the engine said so"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"BlkioWeight": 10}, ControlNotEnforced),  # this kernel has no such control; the engine drops it
        ({"Runtime": "no-such-runtime"}, ControlNotEnforced),
        ({"SecurityOpt": ['seccomp={"defaultAction":"no-such-action"}']}, EngineError),
        ({"NanoCpus": 1_000_000_000_000}, StartFailed),
    ],
)
async def test_what_the_engine_cannot_enforce_is_refused(monkeypatch, change, error):
    monkeypatch.setattr(begin, "create_body", body_with(change))
    async with Runner.open() as runner:
        with pytest.raises(error):
            await runner.run(ECHO)


@pytest.mark.parametrize("which", [(1,), (1, 3)])
async def test_a_control_that_is_dropped_is_refused_also_where_the_warning_was_lost(
    tmp_path, engine_socket, monkeypatch, which
):
    monkeypatch.setattr(begin, "create_body", body_with({"BlkioWeight": 10}))
    fault = Fault("swallow", "/containers/create", which=which)
    with proxied(tmp_path, engine_socket, fault) as (address, _):
        async with Runner.open(Config(docker_host=address)) as runner:
            with pytest.raises(ControlNotEnforced, match="weight"):
                await runner.run(ECHO)


async def test_an_unknown_runtime_is_refused_by_name():
    async with Runner.open(Config(oci_runtime="no-such-runtime")) as runner:
        with pytest.raises(ControlNotEnforced, match="oci_runtime"):
            await runner.run(ECHO)


async def test_a_program_and_a_deadline_of_one_owner_are_independent_of_another():
    async with Runner.open() as one, Runner.open() as other:
        slow = RunRequest(command=["sleep", "60"], limits=Limits(wall_time=0.5))
        assert (await one.run(slow)).status == "timed_out"
        assert (await other.run(ECHO)).ok


def test_calls_about_different_containers_share_a_connection_and_outlive_it(
    tmp_path, engine_socket, monkeypatch
):
    connected = []
    connecting = UnixHTTPConnection.connect
    monkeypatch.setattr(
        UnixHTTPConnection, "connect", lambda self: (connected.append(self), connecting(self))
    )
    with proxied(tmp_path, engine_socket, lambda _line: None) as (address, cut):
        with closing(connect(address)) as client:
            assert [state_of(client, name) for name in ("one", "another")] == [None, None]
            assert len(connected) == 1
            cut()
            assert state_of(client, "a third") is None
