"""Tools of the conformance suite for the extension for tasks: its names, its pauses.

No tool of ours asks for something once it is a task, so the two that would (`confirm_delete` and
`multi_input`) are missing, and with them the scenario tasks-mrtr-input.
"""

import anyio
from fixture_content import OURS
from fixture_input import answer, form
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.server import require_client_extension
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, InputRequiredResult

from sandbox_runner.server.tasks import IDENTIFIER

WORK = 1  # seconds, as the suite asks: long enough to become a task


def mount_tasks(server: MCPServer) -> None:
    """Adds to ``server`` the tools that may become tasks, and one that must not."""
    server.add_tool(greet, description=OURS)
    for name, tool in LONG.items():
        server.add_tool(tool, name=name, description=OURS)


def greet(name: str) -> str:
    return f"Hello, {name}!"


async def slow_compute(seconds: float, label: str = "") -> str:
    await anyio.sleep(seconds)
    return f"Computed {label} for {seconds} s."


async def failing_job(ctx: Context) -> str:
    require_client_extension(ctx.request_context, IDENTIFIER)
    await anyio.sleep(WORK)
    raise ToolError("This job fails.")


async def protocol_error_job() -> str:
    await anyio.sleep(WORK)
    raise MCPError(INTERNAL_ERROR, "This job meets an error of the protocol.")


async def asks_first(ctx: Context) -> str | InputRequiredResult:
    if "user_name" not in (ctx.input_responses or {}):
        return InputRequiredResult(input_requests={"user_name": form("What is your name?")})
    await anyio.sleep(WORK)
    return f"Worked for {answer(ctx, 'user_name')}."


LONG = {
    "slow_compute": slow_compute,
    "failing_job": failing_job,
    "protocol_error_job": protocol_error_job,
    "test_tool_with_task": asks_first,
}
"""What may become a task, by name."""
