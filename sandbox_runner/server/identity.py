"""Who calls a tool."""

from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context

from sandbox_runner.request import LOCAL_USER, Principal

PRINCIPAL = "sandbox_runner.principal"
"""Key in an ASGI scope under which the HTTP door leaves the Principal that it has authenticated."""


def principal_of(context: Context) -> Principal:
    """The caller of a tool; as `caller`."""
    return caller(context.request_context)


def caller(ctx: ServerRequestContext[Any, Any]) -> Principal:
    """Who sent a request: over HTTP whom the door has authenticated, over a pipe the local user.

    Raises PermissionError for an HTTP request that no door has authenticated: a bug, so fail closed.
    """
    request = ctx.request
    if request is None:
        return LOCAL_USER
    principal = request.scope.get(PRINCIPAL)
    if not isinstance(principal, Principal):
        raise PermissionError("a request without a principal")
    return principal
