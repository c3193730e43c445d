"""A request's body: whole before anything looks at it, of bounded size, in bounded time."""

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox_runner.request import format_size
from sandbox_runner.server.http.answers import nothing_more, refuse

_HELD = 16  # bodies of the greatest size that are held at one time


class _Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message


class _Held:
    """The bytes of all bodies that are held now."""

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, size: int) -> None:
        if size > self._left:
            raise _Refusal(503, "The server holds too many requests; try again in a moment.")
        self._left -= size

    def release(self, size: int) -> None:
        self._left += size


def bounded_bodies(app: ASGIApp, *, size: int, seconds: float) -> ASGIApp:
    """``app``, given each body in one message of at most ``size`` bytes, that took at most ``seconds``."""
    held = _Held(size * _HELD)

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(held)
        try:
            if await body.read(scope, receive, size=size, seconds=seconds):
                await app(scope, body.given(receive), send)
        except _Refusal as refusal:
            await refuse(
                scope,
                receive if body.more else nothing_more,
                send,
                status=refusal.status,
                message=refusal.message,
                headers={"Retry-After": "1"} if refusal.status == 503 else {},
            )
        finally:
            held.release(body.size)

    return call


class _Body:
    def __init__(self, held: _Held) -> None:
        self._held = held
        self._parts: list[bytes] = []
        self.size = 0
        self.more = True

    async def read(self, scope: Scope, receive: Receive, *, size: int, seconds: float) -> bool:
        """Whether all of it has come; if not, the client has left."""
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared[:20]) > size:
            raise _too_large(size)
        try:
            with anyio.fail_after(seconds):
                return await self._read(receive, size)
        except TimeoutError:
            raise _Refusal(
                408, f"The request took more than {seconds:g} s to arrive; send it faster."
            ) from None

    async def _read(self, receive: Receive, most: int) -> bool:
        while self.more:
            message = await receive()
            if message["type"] != "http.request":
                return False
            self.more = message.get("more_body", False)
            self._add(message.get("body", b""), most)
        return True

    def _add(self, part: bytes, most: int) -> None:
        if self.size + len(part) > most:
            raise _too_large(most)
        self._held.take(len(part))
        self.size += len(part)
        self._parts.append(part)

    def given(self, receive: Receive) -> Receive:
        """Gives the body as one message, then what ``receive`` gives."""
        first: list[Message] = [{"type": "http.request", "body": b"".join(self._parts), "more_body": False}]
        self._parts.clear()

        async def receive_whole() -> Message:
            return first.pop() if first else await receive()

        return receive_whole


def _too_large(most: int) -> _Refusal:
    return _Refusal(
        413,
        f"A request may have {format_size(most)} bytes; send less, or ask the operator to raise max_body.",
    )
