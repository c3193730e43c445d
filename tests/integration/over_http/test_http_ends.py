"""How calls end: with their client, with their session, with the server. No container outlives its call."""

import signal
import socket
import threading

import anyio
import httpx2
import pytest
from http_server import WAIT, answer, call, modern, open_session, raw, rpc, served
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("nothing_left")]

LONG = call(
    "run_code", language="python", code="print('up', flush=True); import time; time.sleep(500)", timeout_s=500
)


def wait_for_run(server, live_runs):
    while not [run for run in live_runs(server) if run.state == "running"]:
        assert server.process.poll() is None


def wait_for_program(server, client):
    """A container runs a while before its program does; one that dies in between is the engine's failure."""
    listed = modern("tools/call", call("list_runs"))
    while "running" not in {
        run["status"]
        for run in answer(client.post(server.url, **listed))["result"]["structuredContent"]["runs"]
    }:
        assert server.process.poll() is None


class Posted:
    """A request that waits for its answer in a thread."""

    def __init__(self, client, server, request):
        self.response = None
        self.error = None
        self._thread = threading.Thread(target=self._post, args=(client, server, request))
        self._thread.start()

    def _post(self, client, server, request):
        try:
            self.response = client.post(server.url, **request)
        except httpx2.TransportError as error:
            self.error = error

    def wait(self):
        self._thread.join(WAIT)
        assert not self._thread.is_alive()
        return self.response


def long_call(server, client, era):
    """A request for a long run, as a client of that era sends it."""
    if era == "legacy":
        session = open_session(server, client)
        return {"headers": session.headers, "json": rpc("tools/call", LONG, number="the call")}
    return modern("tools/call", LONG, token="t" if era == "modern with progress" else None)


ERAS = pytest.mark.parametrize("era", ["modern", "modern with progress", "legacy"])


@ERAS
def test_a_client_that_leaves_takes_its_container_along(open_server, client, live_runs, gone_after, era):
    with raw(open_server, long_call(open_server, client, era)):
        wait_for_run(open_server, live_runs)
    print(f"{era}: gone {gone_after(open_server) * 1000:.0f} ms after the client left")


def test_a_session_survives_the_call_that_its_client_left(open_server, client, live_runs, gone_after):
    session = open_session(open_server, client)
    other = call("run_code", language="python", code="print(6 * 7)")
    with raw(open_server, {"headers": session.headers, "json": rpc("tools/call", LONG, number=1)}):
        wait_for_run(open_server, live_runs)
    gone_after(open_server)
    assert "42" in session.post(client, rpc("tools/call", other, number=2)).text


def unfinished(session, client) -> int:
    listed = answer(session.post(client, rpc("tools/call", call("list_runs"), number="list")))
    return sum(
        run["status"] in ("queued", "running") for run in listed["result"]["structuredContent"]["runs"]
    )


def test_one_call_that_is_left_ends_no_other_of_its_session(open_server, client, live_runs):
    session = open_session(open_server, client)
    requests = [{"headers": session.headers, "json": rpc("tools/call", LONG, number=n)} for n in (1, 2)]
    with raw(open_server, requests[0]):
        with raw(open_server, requests[1]):
            while len(live_runs(open_server)) < 2:
                pass
            assert unfinished(session, client) == 2
        while unfinished(session, client) != 1:
            assert live_runs(open_server)
    while live_runs(open_server):
        pass


def test_a_cancellation_of_a_legacy_client_removes_the_container(open_server, client, live_runs, gone_after):
    session = open_session(open_server, client)
    posted = Posted(
        client, open_server, {"headers": session.headers, "json": rpc("tools/call", LONG, number=9)}
    )
    wait_for_run(open_server, live_runs)
    cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}}
    with httpx2.Client(timeout=WAIT) as second:
        assert session.post(second, cancelled).status_code == 202
    print(f"gone {gone_after(open_server) * 1000:.0f} ms after the notification")
    assert "cancelled" in posted.wait().text


def test_the_end_of_a_session_removes_its_containers(open_server, client, live_runs, gone_after):
    session = open_session(open_server, client)
    posted = Posted(client, open_server, {"headers": session.headers, "json": rpc("tools/call", LONG)})
    wait_for_run(open_server, live_runs)
    with httpx2.Client(timeout=WAIT) as second:
        assert second.delete(open_server.url, headers=session.headers).status_code == 200
    gone_after(open_server)
    posted.wait()


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_sdks_own_client_cancels_a_call(open_server, live_runs, gone_after, mode):
    async with Client(streamable_http_client(open_server.url), mode=mode) as connected:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connected.call_tool, LONG["name"], LONG["arguments"])
            while not live_runs(open_server):
                await anyio.sleep(0)
            tasks.cancel_scope.cancel()
        await anyio.to_thread.run_sync(gone_after, open_server)


@ERAS
def test_on_sigterm_a_call_may_finish_and_new_ones_are_refused(home, client, live_runs, docker_client, era):
    with served(home=home) as server, httpx2.Client(timeout=WAIT) as other:
        request = long_call(server, client, era)
        posted = Posted(client, server, request)
        wait_for_program(server, other)
        server.process.send_signal(signal.SIGTERM)
        server.until("ending")
        ready = other.get(server.base + "/readyz")
        assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
        assert other.get(server.base + "/healthz").status_code == 200
        refused = other.post(server.url, **modern("tools/list"))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert live_runs(server)
        for run in live_runs(server):
            docker_client.kill(run.container_id)
        result = answer(posted.wait())["result"]["structuredContent"]
        assert result["status"] == "signaled"
        assert server.process.wait(WAIT) == 0


def test_while_the_server_drains_a_client_may_cancel_and_end_its_session(home, client, live_runs):
    with served("--set", "drain_time=500", home=home) as server, httpx2.Client(timeout=WAIT) as other:
        sessions = [open_session(server, client) for _ in range(2)]
        calls = [{"headers": session.headers, "json": rpc("tools/call", LONG)} for session in sessions]
        posted = [
            Posted(each_client, server, each)
            for each_client, each in zip((client, other), calls, strict=True)
        ]
        while len(live_runs(server)) < 2:
            assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        server.until("ending")
        cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        with httpx2.Client(timeout=WAIT) as third:
            assert sessions[0].post(third, rpc("tools/list", number=2)).status_code == 503
            assert sessions[0].post(third, cancelled).status_code == 202
            assert third.delete(server.url, headers=sessions[1].headers).status_code == 200
        assert server.process.wait(WAIT) == 0
        for each in posted:
            each.wait()


@ERAS
def test_what_is_not_finished_in_the_time_for_it_is_removed(home, client, live_runs, era):
    with served("--set", "drain_time=0.5", home=home) as server:
        posted = Posted(client, server, long_call(server, client, era))
        wait_for_run(server, live_runs)
        assert server.stop() == 0
        assert live_runs(server) == []
        posted.wait()


def test_a_call_that_is_cut_off_before_its_answer_began_is_told_so(home, client, live_runs):
    with served("--set", "drain_time=0.5", home=home) as server:
        posted = Posted(client, server, long_call(server, client, "modern"))
        wait_for_run(server, live_runs)
        server.stop()
        assert posted.wait().status_code == 503


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@ERAS
def test_a_second_signal_ends_at_once_and_leaves_nothing(home, client, live_runs, number, era):
    with served("--set", "drain_time=500", home=home) as server:
        posted = Posted(client, server, long_call(server, client, era))
        wait_for_run(server, live_runs)
        server.process.send_signal(signal.SIGTERM)
        server.until("ending")
        assert server.stop(number) == 128 + number
        assert live_runs(server) == []
        posted.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_server_without_calls_ends_at_once_though_clients_listen_or_are_connected(home, client, number):
    with served("--set", "drain_time=500", home=home) as server:
        session = open_session(server, client)
        with (
            client.stream("GET", server.url, headers=session.headers) as listening,
            socket.create_connection(server.address),
        ):
            assert listening.status_code == 200
            assert server.stop(number) == 0
            assert listening.read() == b""


def test_a_server_that_is_killed_leaves_nothing(home, client, live_runs):
    """The fixture `nothing_left` looks for what is left: the watchdog has 5 seconds."""
    with served(home=home) as server:
        posted = [Posted(httpx2.Client(timeout=WAIT), server, modern("tools/call", LONG)) for _ in range(3)]
        while len([run for run in live_runs(server) if run.state == "running"]) < 3:
            assert server.process.poll() is None
        server.process.kill()
        for each in posted:
            each.wait()
            assert each.error is not None


@pytest.mark.parametrize("killed", [False, True], ids=["told to end", "killed"])
def test_containers_that_wait_end_with_their_server(home, client, live_runs, killed):
    with served(home=home, SANDBOX_RUNNER_POOL_MAX="4") as server:
        quick = call("run_shell", command="echo hi")
        assert client.post(server.url, **modern("tools/call", quick)).status_code == 200
        while not [run for run in live_runs(server) if run.ahead and run.state == "running"]:
            assert server.process.poll() is None
        if killed:  # `nothing_left` looks for what is left
            server.process.kill()
        else:
            assert server.stop() == 0
            assert live_runs(server) == []


def test_a_background_run_outlives_its_request_but_not_the_server(home, client, live_runs):
    with served(home=home) as server:
        background = call("run_code", **LONG["arguments"], background=True)
        assert client.post(server.url, **modern("tools/call", background)).status_code == 200
        wait_for_run(server, live_runs)
        assert server.stop() == 0
        assert live_runs(server) == []
