"""The HTTP server from start to end: it listens, serves, and on a signal drains and ends."""

import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import anyio
import uvicorn
from anyio.abc import TaskGroup
from mcp.server import MCPServer
from starlette.types import ASGIApp

from sandbox_runner.config import Config
from sandbox_runner.errors import ConfigError
from sandbox_runner.server.app import build_server
from sandbox_runner.server.http.application import PATH, build_application
from sandbox_runner.server.http.authentication import bearer_of, local_user
from sandbox_runner.server.http.calls import Calls
from sandbox_runner.server.http.connections import BoundedConnection
from sandbox_runner.server.http.health import Readiness
from sandbox_runner.server.http.hosts import allowed_names, bracketed
from sandbox_runner.server.http.keys import Key, load_keys
from sandbox_runner.server.http.listening import find_addresses, is_loopback, listening
from sandbox_runner.server.service import Service, open_service

_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_CLEANUP = 10.0  # seconds for calls that were cut off to remove their containers
_CLOSING = 2  # seconds for the connections that are left
_HEADERS = 64 << 10  # bytes of a request's line and headers

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Door:
    """What is known before anything is served."""

    config: Config
    addresses: Sequence[str]
    keys: Sequence[Key]
    tls: ssl.SSLContext | None


class _Server(uvicorn.Server):
    """uvicorn's, without its own handlers of signals, which sse_starlette uses to cut streams short."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(config: Config, *, say: Say, certificate: str | None = None, key: str | None = None) -> int:
    """Serves until a signal comes; returns 0, or 128 + its number where a second one cut calls off.

    ``certificate`` and ``key`` are files for TLS, in PEM; one file may hold both.
    Raises ConfigError for an address, a key or a certificate that cannot be used.
    """
    tls = _tls(certificate, key) if certificate else None
    door = _Door(config, find_addresses(config.host), load_keys(config), tls)
    _require_keys(door)
    with listening(door.addresses, config.port) as sockets, _signals() as signals:
        for line in _greeting(door, sockets[0].getsockname()[1]):
            say(line)
        return await _serve(door, sockets, signals, say)


async def _serve(
    door: _Door, sockets: list[socket.socket], signals: AsyncIterator[signal.Signals], say: Say
) -> int:
    calls = Calls()
    async with open_service(door.config, operator=False) as service, anyio.create_task_group() as tasks:
        mcp = build_server(service)
        server = _configured(_application(door, service, mcp, calls, tasks), door.tls)
        async with mcp.session_manager.run(), anyio.create_task_group() as serving:
            serving.start_soon(server.serve, sockets)
            status = await _drain(calls, door.config.drain_time, signals, say)
            server.should_exit = True
        tasks.cancel_scope.cancel()
    return status


def _application(door: _Door, service: Service, mcp: MCPServer, calls: Calls, tasks: TaskGroup) -> ASGIApp:
    config = door.config

    async def check() -> None:
        await (await service.connection.runner()).check_ready()

    readiness = Readiness(check, tasks)

    async def reason() -> str:
        return "draining" if calls.draining else await readiness.reason()

    return build_application(
        mcp,
        config,
        authenticate=bearer_of(door.keys) if door.keys else local_user,
        allowed=allowed_names(
            config.host, door.addresses, hosts=config.allowed_hosts, origins=config.allowed_origins
        ),
        calls=calls,
        reason=reason,
    )


async def _drain(calls: Calls, seconds: float, signals: AsyncIterator[signal.Signals], say: Say) -> int:
    """Waits for a signal, then for the calls, then ends those that are left. Returns the exit status."""
    await anext(signals)
    calls.drain()
    say(f"ending; calls in progress have {seconds:g} s, and a second signal cuts them off.")
    status = 0
    async with anyio.create_task_group() as waiting:

        async def finish() -> None:
            with anyio.move_on_after(seconds):
                await calls.over()
            waiting.cancel_scope.cancel()

        waiting.start_soon(finish)
        status = 128 + await anext(signals)
        waiting.cancel_scope.cancel()
    calls.end()
    with anyio.move_on_after(_CLEANUP):
        await calls.over()
    return status


@contextmanager
def _signals() -> Iterator[AsyncIterator[signal.Signals]]:
    # One that is ignored stays so: nohup and a shell's background jobs mean it.
    heeded = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    with anyio.open_signal_receiver(*heeded) as signals:
        yield signals


def _configured(app: ASGIApp, tls: ssl.SSLContext | None) -> _Server:
    config = uvicorn.Config(
        app,
        http=BoundedConnection,
        ws="none",
        lifespan="off",  # the session manager runs in the structure around the server
        log_config=None,
        access_log=False,  # it would write a key that someone put in the address
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_CLOSING,
        h11_max_incomplete_event_size=_HEADERS,
        ssl_context_factory=(lambda *_: tls) if tls else None,
    )
    return _Server(config)


def _tls(certificate: str, key: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or error
        raise ConfigError(f"The certificate cannot be used ({reason}); correct the files.") from None
    return context


def _require_keys(door: _Door) -> None:
    if not door.keys and not is_loopback(door.addresses):
        raise ConfigError(
            f"Others can reach {door.config.host}, and there is no key, so everyone could run programs here. "
            "Make a key with 'sandbox-runner http --new-key NAME', or listen on 127.0.0.1."
        )


def _greeting(door: _Door, port: int) -> Iterator[str]:
    names = ", ".join(dict.fromkeys(key.name for key in door.keys))
    callers = f"callers need a key of {names}" if names else "everyone on this machine may call"
    scheme = "https" if door.tls else "http"
    yield f"listening on {scheme}://{bracketed(door.config.host)}:{port}{PATH}; {callers}."
    if not door.tls and not is_loopback(door.addresses):
        yield "keys and programs pass the network unencrypted; put a proxy with TLS in front."
