"""Under which names the server may be called, and from which web pages: against DNS rebinding.

A page of an attacker whose name resolves to this machine is, for a browser, of the same origin as we
are. Its requests give it away by their Host and Origin.
"""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

import psutil
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox_runner.server.http.answers import refuse

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_REMEDIES = {
    421: "This server is not called by that name; its operator can add it to allowed_hosts.",
    403: "Web pages of that origin may not call this server; its operator can add it to allowed_origins.",
}


def allowed_names(
    host: str, addresses: Sequence[str], *, hosts: Iterable[str], origins: Iterable[str]
) -> TransportSecuritySettings:
    """What is allowed where ``host`` is listened on, which means ``addresses``, and what was configured."""
    loopback = all(ip_address(address).is_loopback for address in addresses)
    names = {bracketed(host), *map(bracketed, addresses), *hosts}
    if any(ip_address(address).is_unspecified for address in addresses):
        names |= {*_LOOPBACK, *map(bracketed, _local_addresses())}
    elif loopback:
        names |= {*_LOOPBACK}
    pages = {f"{scheme}://{name}" for name in names for scheme in ("http", "https")} if loopback else set()
    return TransportSecuritySettings(
        allowed_hosts=_with_any_port(names), allowed_origins=_with_any_port(pages | {*origins})
    )


def checked_names(app: ASGIApp, allowed: TransportSecuritySettings) -> ASGIApp:
    """``app``, for requests whose Host is allowed, and whose Origin is, where they have one."""
    check = TransportSecurityMiddleware(allowed)

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        refused = await check.validate_request(Request(scope))
        if refused is None:
            await app(scope, receive, send)
        else:
            status = refused.status_code
            await refuse(scope, receive, send, status=status, message=_REMEDIES[status])

    return call


def bracketed(host: str) -> str:
    """``host`` as it stands in a URL."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _with_any_port(names: Iterable[str]) -> list[str]:
    # Not our port alone: a forwarded one differs, and a port is nothing that an attacker lacks.
    return [pattern for name in sorted(names) for pattern in (name, f"{name}:*")]


def _local_addresses() -> Iterable[str]:
    for interface in psutil.net_if_addrs().values():
        for each in interface:
            if each.family.name in ("AF_INET", "AF_INET6"):
                yield each.address.partition("%")[0]
