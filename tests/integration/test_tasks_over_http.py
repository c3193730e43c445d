"""Tasks over HTTP: whose they are, and the header that names them. The door is one of the tests."""

import base64
import json
from contextlib import asynccontextmanager

import anyio
import httpx2
import pytest
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import HEADER_MISMATCH, INVALID_PARAMS
from task_client import IDENTIFIER, WAIT

from sandbox_runner import Config
from sandbox_runner.request import Principal
from sandbox_runner.server import tasks
from sandbox_runner.server.app import build_server
from sandbox_runner.server.identity import PRINCIPAL
from sandbox_runner.server.service import open_service

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180), pytest.mark.usefixtures("nothing_left")]

MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {IDENTIFIER: {}}},
}
METHODS = ("tasks/get", "tasks/update", "tasks/cancel")


class Caller:
    """Sends requests of one principal; each is an exchange of its own."""

    def __init__(self, client, name):
        self._client = client
        self._name = name

    async def post(self, method, named, **params):
        """The status, and the message. ``named`` is the header Mcp-Name."""
        headers = {
            "Accept": "application/json, text/event-stream",
            "Mcp-Method": method,
            "MCP-Protocol-Version": MODERN,
            "X-Caller": self._name,
            **({} if named is None else {"Mcp-Name": named}),
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
        response = await self._client.post("/mcp", headers=headers, json=body)
        *_, last = response.text.strip().splitlines()
        return response.status_code, json.loads(last.removeprefix("data: "))

    async def call(self, tool, **arguments):
        status, message = await self.post("tools/call", tool, name=tool, arguments=arguments)
        assert status == 200, message
        return message["result"]

    async def begin(self, command):
        """The id of the task that the command becomes."""
        result = await self.call("run_shell", command=command)
        assert result["resultType"] == "task", result
        return result["taskId"]

    async def run_is(self, status):
        """Returns once the only run there is has this status."""
        with anyio.fail_after(WAIT):
            while True:
                runs = (await self.call("list_runs"))["structuredContent"]["runs"]
                if [run["status"] for run in runs] == [status]:
                    return

    async def ask(self, method, task_id):
        return await self.post(method, task_id, taskId=task_id)

    async def until(self, task_id, **wanted):
        with anyio.fail_after(WAIT):
            while True:
                _, message = await self.ask("tasks/get", task_id)
                if message["result"].items() >= wanted.items():
                    return message["result"]


@asynccontextmanager
async def callers(*names):
    async with open_service(Config(), operator=False) as service:
        server = build_server(service)
        unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        app = server.streamable_http_app(transport_security=unchecked)

        async def door(scope, receive, send):
            name = dict(scope["headers"])[b"x-caller"].decode()
            await app({**scope, PRINCIPAL: Principal(name)}, receive, send)

        transport = httpx2.ASGITransport(app=door)
        async with server.session_manager.run():
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://test", timeout=WAIT
            ) as client:
                yield [Caller(client, name) for name in names]


async def test_a_task_outlives_the_request_that_began_it():
    async with callers("alice") as (alice,):
        task = await alice.begin("sleep 1.5; echo done")
        shown = await alice.until(task, status="completed")
    assert shown["result"]["structuredContent"]["stdout"] == "done\n"


async def test_another_principal_can_neither_see_nor_end_a_task_nor_learn_that_it_is():
    async with callers("alice", "bob") as (alice, bob):
        task = await alice.begin("echo waiting; sleep 600")
        for method in METHODS:
            status, foreign = await bob.ask(method, task)
            _, unknown = await bob.ask(method, "task-0")
            assert (status, foreign["error"]["code"]) == (400, INVALID_PARAMS)
            assert foreign["error"]["message"].replace(task, "task-0") == unknown["error"]["message"]
        await alice.until(task, status="working", statusMessage="waiting")
        assert (await alice.ask("tasks/cancel", task))[0] == 200
        await alice.until(task, status="cancelled")


async def test_the_header_has_to_name_the_task_of_the_body():
    async with callers("alice") as (alice,):
        task = await alice.begin("sleep 600")
        encoded = f"=?base64?{base64.b64encode(task.encode()).decode()}?="
        for method in METHODS:
            for named in ("task-0", None, encoded[:-3] + "?="):
                status, message = await alice.post(method, named, taskId=task)
                assert (status, message["error"]["code"]) == (400, HEADER_MISMATCH), (method, named)
        await alice.until(task, status="working")
        status, message = await alice.post("tasks/cancel", encoded, taskId=task)
        assert status == 200, message
        await alice.until(task, status="cancelled")


async def test_leaving_before_a_call_is_a_task_ends_it(monkeypatch):
    monkeypatch.setattr(tasks, "_GRACE", WAIT)
    async with callers("alice") as (alice,):
        async with anyio.create_task_group() as calling:
            calling.start_soon(alice.begin, "sleep 600")
            await alice.run_is("running")
            calling.cancel_scope.cancel()
        await alice.run_is("cancelled")
