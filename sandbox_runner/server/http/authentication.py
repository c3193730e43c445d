"""Who calls: a principal for each request, or 401."""

from collections.abc import Callable, Sequence

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox_runner.request import LOCAL_USER, Principal
from sandbox_runner.server.http.answers import refuse
from sandbox_runner.server.http.keys import Key, find_principal
from sandbox_runner.server.identity import PRINCIPAL

Authenticate = Callable[[Scope], Principal | None]
"""The caller of a request; None where it cannot be told."""

_AUTHORIZATION = b"authorization"
_BEARER = b"bearer "
_UNKNOWN = "Send a key of this server: Authorization: Bearer KEY. Its operator gives it to you."


def local_user(_: Scope) -> Principal:
    """Everyone who reaches a loopback address is taken for this machine's user, as on stdio."""
    return LOCAL_USER


def bearer_of(keys: Sequence[Key]) -> Authenticate:
    """Callers are told by their key in the Authorization header, and nowhere else."""

    def authenticate(scope: Scope) -> Principal | None:
        given = [value for name, value in scope["headers"] if name == _AUTHORIZATION]
        secret = given[0][len(_BEARER) :].strip() if len(given) == 1 else b""
        principal = find_principal(keys, secret)
        return principal if given and given[0][: len(_BEARER)].lower() == _BEARER else None

    return authenticate


def authenticated(app: ASGIApp, authenticate: Authenticate) -> ASGIApp:
    """``app``, for requests whose caller is known; the key itself goes no further."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        principal = authenticate(scope)
        if principal is None:
            challenge = {"WWW-Authenticate": "Bearer"}
            await refuse(scope, receive, send, status=401, message=_UNKNOWN, headers=challenge)
            return
        headers = [each for each in scope["headers"] if each[0] != _AUTHORIZATION]
        known = {PRINCIPAL: principal, "user": _session_owner(principal), "headers": headers}
        await app({**scope, **known}, receive, send)

    return call


def _session_owner(principal: Principal) -> AuthenticatedUser:
    # The SDK binds a session to whom it finds here, and answers others as if there were none.
    return AuthenticatedUser(AccessToken(token="", client_id=principal.id, scopes=[]))
