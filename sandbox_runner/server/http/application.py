"""What a request passes, from outside to inside: its names, its path, its key, its body, its call."""

from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox_runner.config import Config
from sandbox_runner.server.http.answers import refuse
from sandbox_runner.server.http.authentication import Authenticate, authenticated
from sandbox_runner.server.http.bodies import bounded_bodies
from sandbox_runner.server.http.calls import Calls, attended
from sandbox_runner.server.http.health import Reason, healthz, readyz
from sandbox_runner.server.http.hosts import checked_names

PATH = "/mcp"
_SESSIONS = 1000  # open at one time; each holds a task, and half an hour of silence ends it


def build_application(
    server: MCPServer,
    config: Config,
    *,
    authenticate: Authenticate,
    allowed: TransportSecuritySettings,
    calls: Calls,
    reason: Reason,
) -> ASGIApp:
    """The ASGI application around ``server``, whose session manager must run while it is called."""
    mcp = server.streamable_http_app(
        streamable_http_path=PATH,
        max_request_body_size=config.max_body,
        max_sessions=_SESSIONS,
        transport_security=allowed,
    )
    bounded = bounded_bodies(attended(mcp, calls), size=config.max_body, seconds=config.body_time)
    paths: dict[str, ASGIApp] = {
        PATH: authenticated(bounded, authenticate),
        "/healthz": healthz,
        "/readyz": readyz(reason),
    }

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        app = paths.get(scope["path"])
        if app is None:
            await refuse(scope, receive, send, status=404, message=f"MCP is at {PATH}.")
        else:
            await app(scope, receive, send)

    return checked_names(route, allowed)
