"""`/healthz`: the process answers. `/readyz`: it can run programs. Neither asks for a key or tells more."""

from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox_runner.errors import ImageNotFound, SandboxError

_FRESH = 2.0  # seconds that what was found holds: probes must not cost the engine much
_PATIENCE = 3.0  # seconds for the engine; probes commonly wait for 5 or less

Reason = Callable[[], Awaitable[str]]
"""Why no program can be run now, in a word; empty where it can."""


class Readiness:
    """What ``check`` found a moment ago: it returns where programs can be run, else raises SandboxError."""

    def __init__(self, check: Callable[[], Awaitable[None]], tasks: TaskGroup) -> None:
        self._check = check
        self._tasks = tasks
        self._found = ""
        self._until = -1.0
        self._checked: anyio.Event | None = None

    async def reason(self) -> str:
        """``engine``, ``images``, or nothing where programs can be run."""
        if anyio.current_time() < self._until:
            return self._found
        if self._checked is None:
            self._checked = anyio.Event()
            self._tasks.start_soon(self._refresh, self._checked)
        with anyio.move_on_after(_PATIENCE):
            await self._checked.wait()
            return self._found
        return "engine"

    async def _refresh(self, checked: anyio.Event) -> None:
        # Not in the probe's own task: a call to an engine that hangs cannot be cancelled.
        try:
            await self._check()
            self._found = ""
        except ImageNotFound:
            self._found = "images"
        except SandboxError:
            self._found = "engine"
        self._until = anyio.current_time() + _FRESH
        self._checked = None
        checked.set()


async def healthz(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers 200."""
    await _answer(200, "ok")(scope, receive, send)


def readyz(reason: Reason) -> ASGIApp:
    """Answers 200, or 503 with the reason's word."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        word = await reason()
        await _answer(503 if word else 200, word or "ok")(scope, receive, send)

    return answer


def _answer(status: int, word: str) -> JSONResponse:
    return JSONResponse({"status": word}, status, {"Cache-Control": "no-store"})
