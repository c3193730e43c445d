"""Long calls become tasks, for clients that declare the extension: the SDK's client at a real pipe."""

import os
import re
import time

import psutil
import pytest
from mcp.client.extension import advertise
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, MISSING_REQUIRED_CLIENT_CAPABILITY
from task_client import IDENTIFIER, WAIT, TaskExtension, ask, stdio_session, until

from sandbox_runner.engines.docker.inventory import list_runs

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180), pytest.mark.usefixtures("nothing_left")]

SLOW = "import sys, time\nprint('begun', flush=True)\ntime.sleep(2)\nprint('over')\nsys.exit(3)"
METHODS = ("tasks/get", "tasks/update", "tasks/cancel")
WAITING = "echo waiting; sleep 600"


def containers(docker_client):
    """Those of the first runs of the servers that this process has started; none that waits."""
    ours = {f":{child.pid}:" for child in psutil.Process(os.getpid()).children(recursive=True)}
    return [
        run for run in list_runs(docker_client) if not run.ahead and any(mark in run.owner for mark in ours)
    ]


def without_measures(result):
    """What does not differ between two runs of one program."""
    structured = {**result.structured_content, "run_id": None, "usage": None}
    (block,) = result.content
    text = re.sub(r"\d+\.\d+ s|run_id \w+", "…", block.text)
    return structured, text, result.is_error


async def a_task(client, tool="run_shell", **arguments):
    """The answer to a call that becomes a task."""
    created = await client.session.call_tool(tool, arguments or {"command": WAITING}, allow_claimed=True)
    assert created.result_type == "task", created
    return created


async def test_a_task_ends_with_the_answer_that_the_call_has_without_one():
    arguments = {"language": "python", "code": SLOW}
    tasks = TaskExtension()
    async with stdio_session() as client:
        plain = await client.call_tool("run_code", arguments, read_timeout_seconds=WAIT)
    async with stdio_session(tasks) as client:
        answer = await client.call_tool("run_code", arguments, read_timeout_seconds=WAIT)
    assert len(tasks.created) == 1
    assert plain.structured_content["stdout"] == "begun\nover\n"
    assert plain.structured_content["exit_code"] == 3
    assert without_measures(answer) == without_measures(plain)


async def test_a_task_is_flat_and_says_how_long_it_is_kept_and_when_to_ask():
    async with stdio_session(TaskExtension()) as client:
        task = (await a_task(client)).model_dump(by_alias=True)
        await ask(client.session, "tasks/cancel", task["taskId"])
    assert (task["status"], task["ttlMs"], task["pollIntervalMs"]) == ("working", 3_600_000, 500)
    for name in ("createdAt", "lastUpdatedAt"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", task[name])
    assert task.keys() & {"task", "result", "error", "requestState", "ttl", "pollInterval"} == set()


async def test_a_task_shows_the_newest_line_and_sends_no_progress():
    sent = []

    async def note(*progress):
        sent.append(progress)

    async with stdio_session(TaskExtension()) as client:
        session = client.session
        arguments = {"command": "echo one; sleep 1; echo two; echo three; sleep 600"}
        task = await session.call_tool("run_shell", arguments, progress_callback=note, allow_claimed=True)
        shown = await until(session, task.task_id, statusMessage="three")
        await ask(session, "tasks/cancel", task.task_id)
    assert shown["status"] == "working"
    assert "result" not in shown
    assert sent == []


async def test_cancelling_a_task_removes_its_container_within_a_second(docker_client):
    async with stdio_session(TaskExtension()) as client:
        task = await a_task(client)
        await until(client.session, task.task_id, statusMessage="waiting")
        assert len(containers(docker_client)) == 1
        began = time.monotonic()
        answer = await ask(client.session, "tasks/cancel", task.task_id)
        while containers(docker_client):
            assert time.monotonic() - began < 1
        shown = await until(client.session, task.task_id, status="cancelled")
        again = await ask(client.session, "tasks/cancel", task.task_id)
    assert answer.keys() == again.keys() == {"resultType", "_meta"}
    assert shown.keys() & {"result", "error"} == set()


async def test_a_call_that_is_soon_over_is_answered_itself():
    tasks = TaskExtension()
    async with stdio_session(tasks) as client:
        started = await client.call_tool("run_shell", {"command": WAITING, "background": True})
        wrong = await client.call_tool("run_shell", {"comand": "true"})
        listed = await client.call_tool("list_runs", {})
        await client.call_tool("cancel_run", {"run_id": started.structured_content["run_id"]})
    assert started.structured_content["status"] in ("queued", "running")
    assert wrong.structured_content["status"] == "refused"
    assert len(listed.structured_content["runs"]) == 1
    assert tasks.created == []


@pytest.mark.parametrize(("mode", "extensions"), [("2026-07-28", []), ("legacy", [advertise(IDENTIFIER)])])
async def test_who_does_not_declare_tasks_or_speaks_an_older_revision_gets_the_answer(mode, extensions):
    sent = []

    async def note(*progress):
        sent.append(progress)

    async with stdio_session(*extensions, mode=mode) as client:
        arguments = {"command": "sleep 1.5; echo done"}
        answer = await client.call_tool("run_shell", arguments, progress_callback=note)
    assert answer.structured_content["stdout"] == "done\n"
    assert sent


async def refused(client, method):
    with pytest.raises(MCPError) as error:
        await ask(client.session, method, "task-0")
    return error.value


async def test_who_did_not_declare_tasks_is_told_so_and_not_whether_a_task_is_known():
    async with stdio_session() as client:
        errors = [await refused(client, method) for method in METHODS]
    assert {error.code for error in errors} == {MISSING_REQUIRED_CLIENT_CAPABILITY}
    for error in errors:
        assert error.data == {"requiredCapabilities": {"extensions": {IDENTIFIER: {}}}}


async def test_an_unknown_task_is_an_error_that_says_what_to_do():
    async with stdio_session(TaskExtension()) as client:
        errors = [await refused(client, method) for method in METHODS]
    assert {error.code for error in errors} == {INVALID_PARAMS}
    assert all("Call the tool again" in error.message for error in errors)


async def test_an_older_revision_has_no_methods_for_tasks():
    async with stdio_session(advertise(IDENTIFIER), mode="legacy") as client:
        errors = [await refused(client, method) for method in METHODS]
    assert {error.code for error in errors} == {METHOD_NOT_FOUND}


async def test_an_update_that_answers_nothing_is_accepted():
    async with stdio_session(TaskExtension()) as client:
        task = await a_task(client)
        given = {"question": {"action": "accept", "content": {}}}
        answer = await ask(client.session, "tasks/update", task.task_id, inputResponses=given)
        shown = await ask(client.session, "tasks/get", task.task_id)
        await ask(client.session, "tasks/cancel", task.task_id)
    assert answer.keys() == {"resultType", "_meta"}
    assert shown["status"] == "working"


async def test_a_server_that_ends_with_a_task_at_work_leaves_nothing(docker_client):
    async with stdio_session(TaskExtension()) as client:
        task = await a_task(client)
        await until(client.session, task.task_id, statusMessage="waiting")
        assert len(containers(docker_client)) == 1
