"""The server: its tools, and what it tells a client of itself."""

import inspect
from collections.abc import Callable
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp_types import ToolAnnotations

from sandbox_runner import __version__
from sandbox_runner.server.offer import Offer
from sandbox_runner.server.readers import Readers
from sandbox_runner.server.service import Service
from sandbox_runner.server.session_files import SessionFiles
from sandbox_runner.server.sessions import Sessions
from sandbox_runner.server.strict import ArgumentCheck, fit
from sandbox_runner.server.tasks import TASK_TOOLS, Tasks
from sandbox_runner.server.tools import Programs

INSTRUCTIONS = """\
Runs programs and shell commands in sealed, single-use containers: no network, nothing kept between calls. \
Pass data in files; start with run_code or run_shell. Pictures written as *.png or *.svg come back as \
images. What an answer cuts, read_output reads. To keep variables and files between calls, open_session."""

_MAX_RESULT = 500_000  # characters: below this Claude Code leaves an answer where the model reads it

_RUNS = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)
_READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)
_ENDS = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)


def build_server(service: Service, *, task_tools: frozenset[str] = TASK_TOOLS) -> MCPServer:
    """An MCP server over ``service``, for any transport. Calls of ``task_tools`` may become tasks."""
    tools = [fit(_tool(*each), service.config) for each in _offered(service)]
    return MCPServer(
        "sandbox-runner",
        title="Sandbox Runner",
        description="Runs untrusted code in sealed, single-use containers.",
        instructions=INSTRUCTIONS,
        version=__version__,
        tools=tools,
        middleware=[ArgumentCheck({tool.name: tool for tool in tools})],
        extensions=[Tasks(service.tasks, task_tools)],
        log_level="WARNING",
        subscriptions=False,
    )


def _offered(service: Service) -> list[tuple[Callable[..., Any], str, ToolAnnotations]]:
    programs, readers, offer = Programs(service), Readers(service), Offer(service)
    sessions, files = Sessions(service), SessionFiles(service)
    return [
        (programs.run_code, "Run code", _RUNS),
        (programs.run_shell, "Run a shell command", _RUNS),
        (programs.run_function, "Run a function", _RUNS),
        (readers.read_output, "Read a run's output", _READS),
        (readers.cancel_run, "Cancel a run", _ENDS),
        (readers.list_runs, "List runs", _READS),
        (offer.list_languages, "List languages", _READS),
        (sessions.open_session, "Open a session", _RUNS),
        (sessions.close_session, "Close a session", _ENDS),
        (sessions.list_sessions, "List sessions", _READS),
        (sessions.snapshot_session, "Keep a session's files", _RUNS),
        (files.write_file, "Write a file", _WRITES),
        (files.read_file, "Read a file", _READS),
        (files.list_files, "List files", _READS),
        (files.delete_file, "Delete a file", _ENDS),
    ]


def _tool(function: Callable[..., Any], title: str, annotations: ToolAnnotations) -> Tool:
    return Tool.from_function(
        function,
        title=title,
        description=inspect.getdoc(function),
        annotations=annotations,
        meta={"anthropic/maxResultSizeChars": _MAX_RESULT},
    )
