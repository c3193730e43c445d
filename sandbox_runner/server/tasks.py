"""The extension for long work: a call that is not over at once is answered with a task, which is then polled.

https://github.com/modelcontextprotocol/ext-tasks, revision 2026-07-28. It serves the requests that declare
it; for others nothing changes.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver.server import require_client_extension
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import decode_header_value
from mcp_types import HEADER_MISMATCH, INVALID_PARAMS, CallToolRequestParams, RequestParams

from sandbox_runner.errors import InvalidRequest
from sandbox_runner.server.identity import caller
from sandbox_runner.server.task_book import Task, TaskBook
from sandbox_runner.server.task_context import apart

IDENTIFIER = "io.modelcontextprotocol/tasks"
TASK_TOOLS = frozenset({"run_code", "run_shell", "run_function"})
"""The tools of ours whose calls may become tasks."""

_WIRES = frozenset({"2026-07-28"})
_GRACE = 0.6  # seconds in which a call is answered itself, as most programs are over by then
_POLL = 500  # milliseconds between two looks that clients are told to keep
_ENDING = 1.0  # seconds that tasks/cancel waits for the container to be gone


class TaskParams(RequestParams):
    """Names a task."""

    task_id: str


class Tasks(Extension):
    """Tasks for calls of ``tools``, kept in ``book``."""

    identifier = IDENTIFIER

    def __init__(self, book: TaskBook, tools: frozenset[str]) -> None:
        self._book = book
        self._tools = tools

    def methods(self) -> Sequence[MethodBinding]:
        """tasks/get, tasks/update and tasks/cancel."""
        handlers = {"tasks/get": self._get, "tasks/update": self._update, "tasks/cancel": self._cancel}
        return [
            MethodBinding(method, TaskParams, handler, protocol_versions=_WIRES)
            for method, handler in handlers.items()
        ]

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """The call's own answer where it comes soon, else a task. Raises what the tool raises soon."""
        if params.name not in self._tools or not _declared(ctx):
            return await call_next(ctx)
        task = self._book.start(caller(ctx), lambda say: call_next(apart(ctx, say)))
        if await task.settle(_GRACE):
            return task.answer()
        self._book.add(task)
        return {"resultType": "task", **self._described(task)}

    async def _get(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        task = self._find(ctx, params)
        return {**self._described(task), **_ending(task)}

    async def _update(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        """No tool of ours asks its client for anything, so whatever is given answers nothing."""
        self._find(ctx, params)
        return {}

    async def _cancel(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        task = self._find(ctx, params)
        task.cancel()
        with anyio.move_on_after(_ENDING):
            await task.finished.wait()
        return {}

    def _find(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> Task:
        """Raises MCPError for a client that did not declare tasks, a header that differs, an unknown task."""
        require_client_extension(ctx, IDENTIFIER)
        _check_header(ctx, params.task_id)
        try:
            return self._book.find(params.task_id, caller(ctx))
        except InvalidRequest as error:
            raise MCPError(INVALID_PARAMS, str(error)) from None

    def _described(self, task: Task) -> dict[str, Any]:
        said = {"statusMessage": task.message} if task.message else {}
        return {
            "taskId": task.task_id,
            "status": task.status,
            "createdAt": _iso(task.created),
            "lastUpdatedAt": _iso(task.updated),
            "ttlMs": max(1, round(self._book.ttl * 1000)),
            "pollIntervalMs": _POLL,
            **said,
        }


def _ending(task: Task) -> dict[str, Any]:
    if task.result is not None:
        return {"result": json.loads(task.result)}
    if task.error is not None:
        return {"error": task.error.model_dump(by_alias=True, mode="json", exclude_none=True)}
    return {}


def _declared(ctx: ServerRequestContext[Any, Any]) -> bool:
    capabilities = ctx.session.client_capabilities
    declared = (capabilities and capabilities.extensions) or {}
    return ctx.protocol_version in _WIRES and IDENTIFIER in declared


def _check_header(ctx: ServerRequestContext[Any, Any], task_id: str) -> None:
    """Over HTTP the header names the task, too (SEP-2243); the SDK checks it for its own methods only."""
    if ctx.request is None:
        return
    if decode_header_value(ctx.request.headers.get("mcp-name")) != task_id:
        raise MCPError(HEADER_MISMATCH, "The header Mcp-Name is not the taskId of the body.")


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
