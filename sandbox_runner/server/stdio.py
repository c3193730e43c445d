"""MCP on stdin and stdout. The end of stdin, or of `stop`, ends every run before the process is left.

A thread may wait on either pipe for ever, on stdin for a line and on stdout for a client that does
not read, and such a thread cannot be ended: so no cleanup waits for the transport, and the process
is left with os._exit.
"""

from collections.abc import AsyncIterator, Callable
from typing import NoReturn, cast

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage

from sandbox_runner.config import Config
from sandbox_runner.server.app import build_server
from sandbox_runner.server.messages import Answers, Lines, read_messages
from sandbox_runner.server.service import open_service

_LAST_ANSWERS = 1.0  # seconds after the end of stdin for what is running to be answered or cancelled


async def serve(config: Config, *, stop: anyio.Event, leave: Callable[[], NoReturn]) -> None:
    """Serves until stdin ends or ``stop`` is set, then has every container removed and calls ``leave``."""
    async with anyio.create_task_group() as tasks:
        async with open_service(config, operator=True) as service:
            lines = Lines()
            over = anyio.Event()
            tasks.start_soon(_transport, build_server(service), lines, over)
            async with anyio.create_task_group() as waiting:
                waiting.start_soon(_first, waiting.cancel_scope, stop, over)
                await lines.ended.wait()
                with anyio.move_on_after(_LAST_ANSWERS):
                    await over.wait()
                waiting.cancel_scope.cancel()
        leave()


async def _first(scope: anyio.CancelScope, stop: anyio.Event, over: anyio.Event) -> None:
    """Cancels ``scope`` at the first of the two."""
    async with anyio.create_task_group() as tasks:

        async def await_one(event: anyio.Event) -> None:
            await event.wait()
            scope.cancel()

        tasks.start_soon(await_one, stop)
        tasks.start_soon(await_one, over)


async def _transport(server: MCPServer, lines: Lines, over: anyio.Event) -> None:
    # The SDK has no public way to serve other streams than its own: stdin of ours is bounded and
    # can be left; and its stdout keeps stray prints off the wire.
    lowlevel = server._lowlevel_server
    messages, read = anyio.create_memory_object_stream[SessionMessage | Exception]()
    try:
        async with (
            stdio_server(stdin=cast("anyio.AsyncFile[str]", _Nothing())) as (unused, write),
            unused,
            anyio.create_task_group() as tasks,
        ):
            answers = Answers(write)
            tasks.start_soon(read_messages, lines, messages, answers)
            await lowlevel.run(read, answers, lowlevel.create_initialization_options())
    except* OSError:
        pass  # stdout is closed: nobody is left to serve
    over.set()


class _Nothing:
    """A file at its end."""

    async def __aiter__(self) -> AsyncIterator[str]:
        return
        yield ""
