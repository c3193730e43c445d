"""The context of a call that may go on after its request was answered: what it tells goes to its task."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import NoBackChannelError
from mcp.shared.transport_context import TransportContext
from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, RequestId, RequestParamsMeta


def apart(ctx: ServerRequestContext[Any, Any], say: Callable[[str], None]) -> ServerRequestContext[Any, Any]:
    """``ctx`` without a way to its client; messages about progress go to ``say`` instead.

    The extension has no progress on tasks, and the request's own channel closes with its answer.
    """
    meta = ctx.meta.copy() if ctx.meta else RequestParamsMeta()
    meta.pop("progress_token", None)
    connection = Connection.from_envelope(
        ctx.protocol_version, meta.get(CLIENT_INFO_META_KEY), meta.get(CLIENT_CAPABILITIES_META_KEY)
    )
    session = ServerSession(_Apart(ctx.request_id, say), connection)
    return dataclasses.replace(
        ctx, session=session, meta=meta, close_sse_stream=None, close_standalone_sse_stream=None
    )


_NOWHERE = TransportContext(kind="task", can_send_request=False)


@dataclass(frozen=True, slots=True)
class _Apart:
    """The SDK's DispatchContext, for a call that nobody listens to."""

    request_id: RequestId | None
    say: Callable[[str], None]
    cancel_requested: anyio.Event = field(default_factory=anyio.Event)
    transport: TransportContext = _NOWHERE
    can_send_request: bool = False
    message_metadata: None = None

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        raise NoBackChannelError(method)

    async def notify(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> None:
        """Dropped: a task's client learns from tasks/get alone."""

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        if message:
            self.say(message)
