"""The calls in progress: each ends when its client leaves, and all when the server drains.

The SDK ends a modern call whose client leaves. A call of a session (a legacy revision) would go on, although
nobody can ever fetch its answer, as no event store keeps it: so the client's own `notifications/cancelled` is
sent in its place.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import anyio
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox_runner.server.http.answers import nothing_more, refuse

_LEAVE = 0.2  # seconds in which a call may end by itself once its client has left
_WITHDRAW = 2.0  # seconds for telling the session
_ANSWER = 5.0  # seconds in which the session answers that the call was cancelled


@dataclass(eq=False, slots=True)
class _Call:
    """``away``: its client has left. ``cut``: it must end now, and tell its client as well as it can."""

    streams: bool  # a listening stream (GET): it has no end of its own
    away: anyio.Event = field(default_factory=anyio.Event)
    cut: anyio.Event = field(default_factory=anyio.Event)
    started: bool = False
    answered: bool = False


class Calls:
    """All calls in progress, and whether new ones are taken: a server that drains takes none."""

    def __init__(self) -> None:
        self.draining = False
        self._calls: set[_Call] = set()
        self._over = anyio.Event()

    def drain(self) -> None:
        """From now on what would begin something is refused, and listening streams end."""
        self.draining = True
        for call in self._calls:
            if call.streams:
                call.cut.set()
        self._tell()

    async def over(self) -> None:
        """Returns when the server drains and no call is left."""
        await self._over.wait()

    def end(self) -> None:
        """Ends what is left."""
        for call in self._calls:
            call.cut.set()

    @contextmanager
    def entered(self, call: _Call) -> Iterator[None]:
        """Counts ``call`` for as long as the context lasts."""
        self._calls.add(call)
        try:
            yield
        finally:
            self._calls.remove(call)
            self._tell()

    def _tell(self) -> None:
        if self.draining and not self._calls:
            self._over.set()


def attended(app: ASGIApp, calls: Calls) -> ASGIApp:
    """``app``, whose calls are counted and end when their client leaves. Bodies come in one message."""

    async def attend(scope: Scope, receive: Receive, send: Send) -> None:
        request = await receive()
        call = _Call(streams=scope["method"] == "GET")
        if calls.draining and (call.streams or _request_id(request) is not None):
            await _unavailable(scope, send)
            return
        with calls.entered(call):
            noting = _noting(call, send)
            await _attend(app, call, scope, request, receive, noting)
            if call.answered:
                return
            if call.away.is_set():
                await _withdraw(app, scope, request)
            elif call.started:
                await noting({"type": "http.response.body"})
            else:
                await _unavailable(scope, send)

    return attend


async def _attend(
    app: ASGIApp, call: _Call, scope: Scope, request: Message, receive: Receive, send: Send
) -> None:
    """Runs ``app`` until it is done, or the call's client has left, or the call is cut off."""
    given = [request]

    async def hear() -> Message:
        if given:
            return given.pop()
        await call.away.wait()
        return {"type": "http.disconnect"}

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        call.away.set()

    async def leave() -> None:
        await call.away.wait()
        if not call.answered:  # what comes after an answer is the application's own
            await anyio.sleep(_LEAVE)
            tasks.cancel_scope.cancel()

    async def cut_off() -> None:
        await call.cut.wait()
        if await _withdraw(app, scope, request):
            await anyio.sleep(_ANSWER)
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for watch in (listen, leave, cut_off):
            tasks.start_soon(watch)
        await app(scope, hear, send)
        tasks.cancel_scope.cancel()


def _noting(call: _Call, send: Send) -> Send:
    async def note(message: Message) -> None:
        await send(message)
        call.started = True
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            call.answered = True

    return note


async def _withdraw(app: ASGIApp, scope: Scope, request: Message) -> bool:
    """Has the session end the call that ``request`` began; False where there is no session to do it."""
    if MCP_SESSION_ID_HEADER not in Headers(scope=scope) or scope["method"] != "POST":
        return False
    request_id = _request_id(request)
    if request_id is None:
        return False
    notification = {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": request_id, "reason": "the client has left"},
    }
    body: Message = {"type": "http.request", "body": json.dumps(notification).encode(), "more_body": False}
    headers = [each for each in scope["headers"] if each[0] != b"content-length"]

    async def receive() -> Message:
        return body

    async def send(_: Message) -> None:
        pass

    with anyio.move_on_after(_WITHDRAW, shield=True):
        await app({**scope, "headers": headers}, receive, send)
    return True


def _request_id(request: Message) -> str | int | None:
    with suppress(ValueError, RecursionError):
        message = json.loads(request.get("body", b""))
        if isinstance(message, dict) and isinstance(message.get("id"), str | int):
            return message["id"]  # type: ignore[no-any-return] # checked in the line above
    return None


async def _unavailable(scope: Scope, send: Send) -> None:
    await refuse(
        scope,
        nothing_more,
        send,
        status=503,
        message="The server is being stopped; try again in a moment.",
        headers={"Retry-After": "5"},
    )
