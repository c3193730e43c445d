"""However a call or the server ends, every container of it goes.

The server leaves only when its containers are gone, so a look after its exit proves the order
without a clock; where it has no chance to act, its watchdog has 5 seconds.
"""

import os
import signal

import anyio
import pytest
from mcp.shared.exceptions import MCPError
from mcp_clients import LEGACY, MODERN, WAIT, containers_of, is_full, pipe, sdk_client, within

pytestmark = pytest.mark.timeout(180)

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
CHATTY = "while true; do head -c 4000 /dev/zero | tr '\\0' x; echo; sleep 0.05; done"


def idle(server, docker_client):
    server.answer(server.request("tools/list"))


def called(server, docker_client):
    server.start_call("run_shell", token="t", command="echo ready; sleep 600")
    server.line(lambda each: each.get("params", {}).get("message") == "ready")


def in_background(server, docker_client):
    report = server.call("run_shell", command="echo ready; sleep 600", background=True)["structuredContent"]
    server.call("read_output", run_id=report["run_id"], wait_s=50)


def starting(server, docker_client):
    for _ in range(12):  # more than are run at once
        server.start_call("run_shell", command="sleep 600")
    assert within(WAIT, lambda: containers_of(docker_client, server))


def not_reading(server, docker_client):
    server.start_call("run_shell", token="t", command=CHATTY)
    assert within(WAIT, lambda: is_full(server))


STATES = [idle, called, in_background, starting, not_reading]
SIGNALLED = [
    (number, state) for number in SIGNALS for state in (STATES if number == SIGNALS[0] else STATES[:3])
]


def told(server):
    return [run["status"] for run in server.call("list_runs")["structuredContent"]["runs"]]


@pytest.mark.parametrize(("number", "state"), SIGNALLED)
def test_a_signal_ends_the_runs_and_then_the_server(docker_client, nothing_left, state, number):
    with pipe(reading=state is not not_reading) as server:
        state(server, docker_client)
        server.process.send_signal(number)
        assert server.exit_status() == 128 + number
        assert containers_of(docker_client, server) == []


@pytest.mark.parametrize(
    ("version", "state"),
    [*((MODERN, state) for state in STATES), (LEGACY[0], called), (LEGACY[-1], not_reading)],
)
def test_the_end_of_stdin_ends_the_runs_and_then_the_server(docker_client, nothing_left, state, version):
    with pipe(reading=state is not not_reading, version=version) as server:
        server.shake_hands()
        state(server, docker_client)
        server.process.stdin.close()
        assert server.exit_status() == 0
        assert containers_of(docker_client, server) == []


def test_stdin_may_end_before_anything_was_said(nothing_left):
    with pipe() as server:
        server.process.stdin.close()
        assert server.exit_status() == 0
        assert server.errors() == ""


@pytest.mark.parametrize("state", [called, in_background])
def test_a_client_that_closes_stdout_ends_the_runs_and_the_server(docker_client, nothing_left, state):
    with pipe() as server:
        state(server, docker_client)
        server.stop_reading()
        for _ in range(3):
            server.request("tools/list")  # its answer finds nobody
        assert server.exit_status() == 0
        assert containers_of(docker_client, server) == []
        assert "Traceback" not in server.errors()


@pytest.mark.parametrize("state", STATES[1:])
def test_after_kill_9_nothing_is_left_in_5_seconds(docker_client, nothing_left, state):
    with pipe(reading=state is not not_reading) as server:
        state(server, docker_client)
        server.process.kill()
        assert server.exit_status() == -signal.SIGKILL
        assert within(5, lambda: containers_of(docker_client, server) == [])


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_leaves_nothing_either(docker_client, nothing_left, number):
    with pipe() as server:
        called(server, docker_client)
        server.process.send_signal(number)
        os.kill(server.pid, number)
        assert server.exit_status() == 128 + number
        assert within(5, lambda: containers_of(docker_client, server) == [])


def test_a_cancelled_call_has_no_container_and_keeps_its_output(docker_client, nothing_left):
    with pipe() as server:
        number = server.start_call("run_shell", token="t", command="echo ready; sleep 600")
        server.line(lambda each: each.get("params", {}).get("message") == "ready")
        server.notify("notifications/cancelled", {"requestId": number, "reason": "enough"})
        assert within(WAIT, lambda: told(server) == ["cancelled"])
        assert containers_of(docker_client, server, ahead=False) == []
        [run] = server.call("list_runs")["structuredContent"]["runs"]
        page = server.call("read_output", run_id=run["run_id"])["structuredContent"]
        assert (page["data"], page["finished"]) == ("ready\n", True)
        assert [each for each in server.lines if each.get("id") == number] == []


def test_a_cancelled_call_that_waited_never_runs(docker_client, nothing_left):
    with pipe("--set", "max_concurrent=1") as server:
        in_background(server, docker_client)
        waiting = server.start_call("run_shell", command="echo never")
        server.notify("notifications/cancelled", {"requestId": waiting})
        assert within(WAIT, lambda: told(server) == ["cancelled", "running"])
        [_, running] = server.call("list_runs")["structuredContent"]["runs"]
        server.call("cancel_run", run_id=running["run_id"])
        assert server.call("run_shell", command="echo next")["structuredContent"]["stdout"] == "next\n"


def test_a_run_in_the_background_survives_the_call_that_reads_it(docker_client, nothing_left):
    with pipe() as server:
        in_background(server, docker_client)
        [run] = server.call("list_runs")["structuredContent"]["runs"]
        reading = server.start_call("read_output", run_id=run["run_id"], offset=6, wait_s=50)
        server.notify("notifications/cancelled", {"requestId": reading})
        [run] = server.call("list_runs")["structuredContent"]["runs"]
        assert run["status"] == "running"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_sdks_client_ends_a_run_by_cancelling_and_by_its_timeout(docker_client, nothing_left, mode):
    with sdk_client(mode=mode) as client:
        began = anyio.Event()

        async def note(progress, total, message):
            if message == "ready":
                began.set()

        call = client.start("run_shell", progress=note, command="echo ready; sleep 600")
        client.wait_for(began)
        call.cancel()
        with pytest.raises(MCPError):
            client.call("run_shell", timeout=1, command="sleep 600")
        wanted = ["cancelled", "cancelled"]
        assert within(WAIT, lambda: statuses(client) == wanted), statuses(client)


def statuses(client):
    return [run["status"] for run in client.call("list_runs").structured_content["runs"]]


def test_the_sdks_client_that_leaves_waits_for_no_run(docker_client, nothing_left):
    with sdk_client() as client:
        client.start("run_shell", command="sleep 600")
        client.call("run_shell", command="echo ready; sleep 600", background=True)


def test_at_the_deadline_output_comes_back_although_the_program_ignores_signals(docker_client, nothing_left):
    code = """
import signal, time, sys
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
print("so far", flush=True)
while True: time.sleep(1)
"""
    with pipe() as server:
        report = server.call("run_code", language="python", code=code, timeout_s=1)["structuredContent"]
        assert (report["status"], report["stdout"]) == ("timed_out", "so far\n")
        assert within(5, lambda: containers_of(docker_client, server, ahead=False) == [])
