"""What the door itself answers: a JSON-RPC error without an id, and the end of the connection."""

from collections.abc import Mapping

import anyio
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

_REFUSED = -32600  # JSON-RPC's "invalid request"
_LINGER = 1.0  # seconds: closing with unread input makes the kernel throw our answer away


async def nothing_more() -> Message:
    """The `receive` of a request whose body has been read: there is nothing to wait for."""
    return {"type": "http.disconnect"}


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    status: int,
    message: str,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Answers with ``status`` and ``message``; what is still sent of the request is thrown away."""
    with anyio.move_on_after(_LINGER):
        while (await receive()).get("more_body"):
            pass
    response = JSONResponse(
        {"jsonrpc": "2.0", "id": None, "error": {"code": _REFUSED, "message": message}},
        status,
        {"Connection": "close", "Cache-Control": "no-store", **(headers or {})},
    )
    await response(scope, receive, send)
