"""The SDK's client with the extension for tasks, which the SDK itself does not have."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import anyio
from mcp.client.client import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.session import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types import CallToolResult, Request, RequestParams, Result
from pydantic import ConfigDict, TypeAdapter

from sandbox_runner.server.tasks import IDENTIFIER

WAIT = 60.0  # seconds: a bound for a loaded machine, no test depends on it
ANYTHING = TypeAdapter(dict[str, Any])


class Params(RequestParams):
    model_config = ConfigDict(extra="allow")
    task_id: str


class TaskRequest(Request[Params, str]):
    name_param: ClassVar[str | None] = "taskId"
    method: str
    params: Params


class Created(Result):
    """What a call is answered with that becomes a task."""

    model_config = ConfigDict(extra="allow")
    result_type: Literal["task"] = "task"
    task_id: str


async def ask(session: ClientSession, method: str, task_id: str, **more: object) -> dict[str, Any]:
    """The answer to tasks/get, tasks/update or tasks/cancel. Raises MCPError."""
    request = TaskRequest(method=method, params=Params(task_id=task_id, **more))
    return await session.send_request(request, ANYTHING, request_read_timeout_seconds=WAIT)


async def until(session: ClientSession, task_id: str, **wanted: object) -> dict[str, Any]:
    """What tasks/get says once it says what is wanted."""
    shown: dict[str, Any] = {}
    with anyio.move_on_after(WAIT):
        while True:
            shown = await ask(session, "tasks/get", task_id)
            if all(shown.get(name) == value for name, value in wanted.items()):
                return shown
    raise AssertionError(f"never {wanted}, but {shown}")


class TaskExtension(ClientExtension):
    """Waits for the end of a task, so that its caller does not notice it; ``created`` are those it met."""

    identifier = IDENTIFIER

    def __init__(self) -> None:
        self.created: list[Created] = []

    def claims(self) -> list[ResultClaim[Created]]:
        return [ResultClaim(result_type="task", model=Created, resolve=self._resolve)]

    async def _resolve(self, created: Created, context: ClaimContext) -> CallToolResult:
        self.created.append(created)
        ended = await until(context.session, created.task_id, status="completed")
        return CallToolResult.model_validate(ended["result"])


@asynccontextmanager
async def stdio_session(*extensions: ClientExtension, mode: str = "2026-07-28") -> AsyncIterator[Client]:
    """A server of its own, and the SDK's client at its pipe."""
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "sandbox_runner", "stdio"],
        env={**os.environ, "SANDBOX_RUNNER_BUILD_ON_FIRST_USE": "false"},
    )
    with Path(os.devnull).open("w") as errors:
        async with Client(stdio_client(server, errlog=errors), mode=mode, extensions=extensions) as client:
            yield client
