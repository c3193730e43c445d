"""Clients that break the rules, ask for too much, or vanish: the server goes on, and leaves nothing."""

import base64
import hashlib
import json
import random
import signal
import threading
import time

import psutil
import pytest
from mcp_clients import LEGACY, MODERN, WAIT, containers_of, pipe, within

from sandbox_runner.server.messages import MAX_LINE

pytestmark = pytest.mark.timeout(300)

MIB = 1 << 20
LONGEST = 0.6  # seconds; the moment of a cancellation or a kill is drawn from it
ONE_WAITS = (
    "--set",
    "pool_max=1",
)  # of the containers that a server has between runs, any other is left over
ENVELOPE = (
    b'"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    b'"io.modelcontextprotocol/clientCapabilities":{}}'
)


@pytest.fixture(scope="module", params=[MODERN, LEGACY[-1]])
def server(request):
    with pipe(version=request.param) as server:
        server.shake_hands()
        server.answer(server.request("tools/list"))  # which decides the era
        yield server


def works(server):
    return server.call("run_shell", command="echo fine")["structuredContent"]["stdout"] == "fine\n"


CALL = b'{"jsonrpc":"2.0","id":"call","method":"x","params":'
NONSENSE = {
    "no JSON": b"hello",
    "a cut message": b'{"jsonrpc":"2.0","id":1,"method":"tools/li',
    "an endless number": b"1" * 100_000,
    "NUL": b"\0" * 1000,
    "no UTF-8": b'{"jsonrpc":"2.0","id":"l1","method":"\xff\xfe"}',
    "UTF-16": '{"jsonrpc":"2.0","id":1,"method":"x"}'.encode("utf-16-le").replace(b"\n", b""),
    "a terminal's arrow": b"\x1b[A",
    "a batch": b'[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]',
    "a number": b"3",
    "null": b"null",
    "no method": b'{"jsonrpc":"2.0","id":"nm"}',
    "another version": b'{"jsonrpc":"1.0","id":"av","method":"tools/list"}',
    "an id that is null": b'{"jsonrpc":"2.0","id":null,"method":5}',
    "parameters in a list": b'{"jsonrpc":"2.0","id":"pl","method":"tools/list","params":[]}',
    "parameters in a text": b'{"jsonrpc":"2.0","id":"pt","method":"tools/list","params":"{}"}',
    "deep lists": CALL + b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "deep objects": CALL + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
    "a long name": b'{"jsonrpc":"2.0","id":"ln","' + b"x" * MIB + b'":1}',
}  # fmt: skip


@pytest.mark.parametrize("line", NONSENSE.values(), ids=NONSENSE)
def test_a_line_that_is_no_message_is_answered_with_an_error(server, line):
    before = len(server.lines)
    server.write(line + b"\n")
    said = server.line(lambda each: each in server.lines[before:] and "error" in each)
    assert said["error"]["code"] in (-32700, -32600)
    number = server.request("tools/list")
    assert server.answer(number)["result"]["tools"]


@pytest.mark.parametrize("place", ["first", "last"])
def test_an_error_carries_the_id_where_the_line_shows_one(server, place):
    name = f"id-{place}-{server.version}"
    start = b'"id":"%s",' % name.encode() if place == "first" else b""
    end = b',"id":"%s"' % name.encode() if place == "last" else b""
    server.write(b'{"jsonrpc":"2.0",' + start + b'"method":"x","params":{"a":"\\ud800"}' + end + b"}\n")
    assert server.answer(name)["error"]["code"] == -32700


def test_binary_on_stdin_is_survived(server):
    generator = random.Random(1)
    for _ in range(20):
        server.write(generator.randbytes(20_000))
    server.write(b"\n\n  \n")
    assert works(server)


def test_messages_of_all_wrong_types_are_survived(server):
    """Every part of a call replaced by every kind of JSON value; each request is answered."""
    values = [None, True, 0, -1, 1.5, "", "x", [], [1], {}, {"a": 1}]
    paths = [["params"], ["params", "name"], ["params", "arguments"], ["params", "_meta"]]
    paths += [["params", "_meta", "progressToken"], ["params", "arguments", "command"], ["method"]]
    numbers = []
    for path in paths:
        for value in values:
            number = f"t{server.version}{len(numbers)}"
            message = {
                "jsonrpc": "2.0",
                "id": number,
                "method": "tools/call",
                "params": {
                    "name": "list_runs",
                    "arguments": {"command": "x"},
                    "_meta": json.loads(b"{" + ENVELOPE + b"}")["_meta"] if server.version == MODERN else {},
                },
            }
            at = message
            for step in path[:-1]:
                at = at[step]
            at[path[-1]] = value
            server.send(message)
            numbers.append(number)
    for number in numbers:
        assert server.answer(number)
    assert works(server)


@pytest.mark.parametrize("method", ["nope", "", "tools/nope", "__class__", "initialize/../x", "x" * 10_000])
def test_an_unknown_method_is_answered(server, method):
    assert "error" in server.answer(server.request(method))


def test_unknown_notifications_and_answers_to_nothing_are_ignored(server):
    before = len(server.lines)
    server.notify("notifications/nope", {"a": 1})
    server.notify("notifications/cancelled", {})
    server.notify("notifications/cancelled", {"requestId": {"a": 1}})
    server.notify("notifications/cancelled", {"requestId": "never"})
    server.notify("notifications/progress", {"progressToken": "never", "progress": "much"})
    server.send({"jsonrpc": "2.0", "id": {"a": 1}, "method": "tools/list"})
    server.send({"jsonrpc": "2.0", "id": 424242, "result": {}})
    server.send({"jsonrpc": "2.0", "id": 424242, "error": {"code": 1, "message": "x"}})
    assert works(server)
    assert len([each for each in server.lines[before:] if "method" not in each]) == 1


def test_one_id_for_two_calls_at_once_harms_neither(server):
    for _ in range(2):
        server.start_call("run_shell", number="twice", command="echo twice; sleep 0.2")
    answers = []
    assert within(WAIT, lambda: len(found(server, "twice", answers)) == 2)
    assert {each["result"]["structuredContent"]["stdout"] for each in answers} == {"twice\n"}
    assert works(server)


def found(server, number, answers):
    answers[:] = [each for each in server.lines if each.get("id") == number]
    return answers


def test_requests_before_the_handshake_are_refused_and_the_handshake_then_works(nothing_left):
    with pipe(version=LEGACY[-1]) as server:
        assert "error" in server.answer(server.start_call("run_shell", command="true"))
        server.shake_hands()
        assert works(server)


def test_a_second_handshake_is_survived(nothing_left):
    with pipe(version=LEGACY[-1]) as server:
        for _ in range(2):
            server.shake_hands()
        assert works(server)


def test_a_line_of_50_mb_arrives_as_it_was_sent(nothing_left):
    data = random.Random(2).randbytes(37 * MIB)
    file = {"path": "big", "content": base64.b64encode(data).decode(), "encoding": "base64"}
    with pipe() as server:
        report = server.call("run_shell", command="sha256sum < big", files=[file])["structuredContent"]
        assert report["stdout"].split()[0] == hashlib.sha256(data).hexdigest()


def test_a_line_beyond_the_bound_is_refused_and_never_held(nothing_left):
    with pipe() as server:
        assert works(server)
        before = psutil.Process(server.pid).memory_info().rss
        server.write(b'{"jsonrpc":"2.0","id":"much","method":"tools/call","params":{"name":"')
        for _ in range(3 * MAX_LINE // MIB):
            server.write(b"x" * MIB)
        server.write(b'"}}\n')
        refusal = server.answer("much")
        assert f"more than {MAX_LINE} bytes" in refusal["error"]["message"]
        assert works(server)
        assert psutil.Process(server.pid).memory_info().rss < before + 2 * MAX_LINE


def test_half_a_line_and_the_end_of_stdin_end_the_server(nothing_left):
    with pipe() as server:
        server.write(b'{"jsonrpc":"2.0","id":1,"method":"tools/')
        server.process.stdin.close()
        assert server.exit_status() == 0


def test_1000_calls_at_once_are_run_or_told_to_come_back(docker_client, nothing_left):
    with pipe("--set", "queue_size=30", *ONE_WAITS) as server:
        assert works(server)
        before = psutil.Process(server.pid).memory_info().rss
        numbers = [server.start_call("run_shell", command=f"echo {n}") for n in range(1000)]
        reports = [server.answer(number, 120)["result"]["structuredContent"] for number in numbers]
        ran = [n for n, report in enumerate(reports) if report["status"] == "exited"]
        assert len(ran) >= 30
        assert all(reports[n]["stdout"] == f"{n}\n" for n in ran)
        busy = [report for report in reports if report["status"] == "busy"]
        assert len(ran) + len(busy) == 1000
        assert all(report["retry_after_s"] > 0 for report in busy)
        assert works(server)
        assert within(5, lambda: len(containers_of(docker_client, server)) <= 1)
        assert psutil.Process(server.pid).memory_info().rss < before + 200 * MIB


def test_a_client_that_asks_and_never_reads_is_heard_no_more_until_it_does(nothing_left):
    """Answers of 30 KB each would take the server's memory; it stops reading instead, and loses none."""
    with pipe(reading=False) as server:
        server.request("tools/list")
        assert within(WAIT, lambda: still(server))
        before = psutil.Process(server.pid).memory_info().rss
        flood = threading.Thread(target=lambda: [server.request("tools/list") for _ in range(2000)])
        flood.start()
        assert within(WAIT, lambda: still(server))
        assert flood.is_alive()
        assert psutil.Process(server.pid).memory_info().rss < before + 400 * MIB
        server.read()
        flood.join(WAIT)
        assert server.answer(2001)["result"]["tools"]
        assert works(server)


def still(server):
    """Whether the server has started, and has nothing to do for a while."""
    before = psutil.Process(server.pid).cpu_times()
    time.sleep(0.5)
    return before.user > 0.3 and psutil.Process(server.pid).cpu_times() == before


def test_calls_leave_neither_descriptors_nor_threads(nothing_left):
    with pipe() as server:
        held = []
        for _ in range(2):
            numbers = [server.start_call("run_shell", command="echo x") for _ in range(20)]
            for number in numbers:
                server.answer(number)
            process = psutil.Process(server.pid)
            assert within(
                WAIT, lambda process=process, held=held: not held or process.num_fds() <= held[0] + 8
            )
            held.append(process.num_fds())


def test_a_first_call_that_is_cancelled_spoils_nothing(nothing_left):
    """It has the engine connected, for all who come later."""
    for moment in (0, 0.05, 0.1, 0.2):
        with pipe() as server:
            number = server.start_call("run_shell", command="echo x")
            time.sleep(moment)  # the moment is the attack
            server.notify("notifications/cancelled", {"requestId": number})
            assert works(server)


def statuses(server):
    runs = server.call("list_runs")["structuredContent"]["runs"]
    return {run["status"] for run in runs}


@pytest.mark.parametrize("version", [MODERN, LEGACY[-1]])
def test_calls_cancelled_at_random_moments_leave_no_container(docker_client, nothing_left, version):
    """Before it starts, while it starts, runs, ends, and after: also twice, and ids that never were."""
    generator = random.Random()
    with pipe(*ONE_WAITS, version=version) as server:
        server.shake_hands()
        assert works(server)
        for _ in range(5):
            numbers = [server.start_call("run_shell", command="sleep 0.2") for _ in range(4)]
            for number in numbers:
                # The moment is the attack: drawn anew for each, not waited for.
                time.sleep(generator.uniform(0, LONGEST / 4))
                for _ in range(generator.choice((1, 2))):
                    server.notify("notifications/cancelled", {"requestId": number})
                server.notify("notifications/cancelled", {"requestId": number + 1_000_000})
        assert within(5, lambda: len(containers_of(docker_client, server)) <= 1)
        assert works(server)
        assert within(WAIT, lambda: statuses(server) <= {"cancelled", "exited"})


def test_a_server_killed_at_random_moments_leaves_no_container(docker_client, nothing_left):
    generator = random.Random()
    for _ in range(5):
        killed = []
        for _ in range(2):
            with pipe(reading=False) as server:
                server.request("tools/list")
                for _ in range(3):
                    server.start_call("run_shell", token="t", command="sleep 0.1; echo x; sleep 600")
                time.sleep(generator.uniform(0.4, 0.4 + 2 * LONGEST))
                server.process.kill()
                assert server.exit_status() == -signal.SIGKILL
                killed.append(server)
        assert within(5, lambda killed=killed: not any(containers_of(docker_client, each) for each in killed))
