"""Live output as progress notifications: at once, in measure, and never at the program's cost.

Times are those that the server itself sends: seconds since the call began.
"""

from itertools import pairwise

import pytest
from mcp_clients import WAIT, containers_of, is_full, pipe, sdk_client, within

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module", params=["auto", "legacy"])
def client(request):
    with sdk_client(mode=request.param) as client:
        yield client


@pytest.fixture(scope="module")
def server():
    with pipe() as server:
        yield server


def followed(client, tool, **arguments):
    """A call's answer, and its messages as (progress, total, message)."""
    messages = []

    async def note(progress, total, message):
        messages.append((progress, total, message))

    return client.call(tool, progress=note, **arguments), messages


def test_the_first_message_says_what_starts(client):
    _, messages = followed(client, "run_code", language="python", code="pass", timeout_s=7)
    assert messages[0][1:] == (7, "starting python")


def test_output_arrives_while_the_program_runs(server):
    number = server.start_call("run_shell", token="live", command="echo tick; sleep 600")
    tick = server.line(lambda each: "tick" in each.get("params", {}).get("message", ""))
    assert tick["method"] == "notifications/progress"
    assert tick["params"]["progressToken"] == "live"
    server.notify("notifications/cancelled", {"requestId": number})


def test_messages_are_at_most_ten_a_second_and_progress_rises(client):
    code = "import time\nfor n in range(1500):\n    print(n, flush=True)\n    time.sleep(0.001)"
    answer, messages = followed(client, "run_code", language="python", code=code)
    assert answer.structured_content["exit_code"] == 0
    times = [progress for progress, _, _ in messages]
    assert all(earlier < later for earlier, later in pairwise(times))
    output = times[1:]  # the first says that it starts
    assert len(output) >= 5
    assert all(later - earlier > 0.099 for earlier, later in pairwise(output))


def test_the_newest_line_comes_first_and_none_is_lost_in_a_calm_program(client):
    # One write for each line: print writes the line and its end apart, and each may have its own message.
    code = "import os, time\nfor n in range(40):\n    os.write(1, b'%d\\n' % n)\n    time.sleep(0.01)"
    _, messages = followed(client, "run_code", language="python", code=code)
    seen = []
    for _, _, message in messages[1:]:
        lines = [int(line) for line in message.splitlines()]
        assert lines == sorted(lines, reverse=True)
        seen += reversed(lines)
    assert seen == list(range(len(seen)))
    assert seen


def test_a_message_is_bounded_and_shows_no_control_characters(server):
    command = "head -c 3000000 /dev/zero | tr '\\0' x; printf '\\033[2J\\nlast\\n'; sleep 600"
    number = server.start_call("run_shell", token="long", command=command)
    wanted = server.line(lambda each: each.get("params", {}).get("message", "").startswith("last\n"))
    assert "␛[2J" in wanted["params"]["message"]
    server.notify("notifications/cancelled", {"requestId": number})
    messages = [each["params"]["message"] for each in server.lines if each.get("method")]
    assert max(map(len, messages)) <= 8192
    assert not any("\x1b" in message for message in messages)


def test_a_command_is_announced_without_its_control_characters(server):
    number = server.start_call("run_shell", token="escape", command="\x1b[2J\u202etrue")
    server.answer(number)
    first = server.line(lambda each: each.get("params", {}).get("progressToken") == "escape")
    assert first["params"]["message"] == "starting bash -c ␛[2J<U+202E>true"


def test_a_silent_program_is_said_to_run(server):
    number = server.start_call("run_shell", token="silent", command="sleep 600")
    said = server.line(lambda each: each.get("params", {}).get("message", "").startswith("running for "))
    seconds = said["params"]["progress"]
    assert seconds >= 5
    assert said["params"]["message"] == f"running for {int(seconds)} s"
    server.notify("notifications/cancelled", {"requestId": number})


def test_who_asked_for_no_progress_hears_none(server):
    before = len(server.lines)
    server.answer(server.start_call("run_shell", command="echo a; sleep 0.3; echo b"))
    assert [each for each in server.lines[before:] if "method" in each] == []


def test_progress_of_two_calls_is_kept_apart(server):
    numbers = [
        server.start_call("run_shell", token=name, command=f"echo {name}; sleep 600")
        for name in ("left", "right")
    ]
    for name in ("left", "right"):
        server.line(lambda each, name=name: each.get("params", {}).get("message") == name)
    for each in server.lines:
        params = each.get("params", {})
        if params.get("message") in ("left", "right"):
            assert params["progressToken"] == params["message"]
    for number in numbers:
        server.notify("notifications/cancelled", {"requestId": number})


def test_a_client_that_stops_reading_does_not_hold_the_program_up(docker_client):
    """Its pipe is full, yet the program ends in its own time, and no byte of its output is lost."""
    code = "for n in range(400):\n    print(n, 'x' * 10000, flush=True)\n    __import__('time').sleep(0.005)"
    whole = "".join(f"{n} {'x' * 10000}\n" for n in range(400))
    with pipe(reading=False) as server:
        number = server.start_call("run_code", token="t", language="python", code=code)
        assert within(WAIT, lambda: is_full(server))
        assert within(WAIT, lambda: containers_of(docker_client, server, ahead=False) == [])
        server.read()
        report = server.answer(number)["result"]["structuredContent"]
        assert (report["status"], report["usage"]["stdout_bytes"]) == ("exited", len(whole))
        read, offset = "", 0
        while offset < len(whole):
            arguments = {"run_id": report["run_id"], "offset": offset, "max_bytes": 1 << 20}
            page = server.call("read_output", **arguments)["structuredContent"]
            read, offset = read + page["data"], page["next_offset"]
        assert read == whole
