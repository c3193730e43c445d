"""A real server in a process of its own on a loopback port, and the requests that tests send to it."""

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

WAIT = 60.0  # seconds: a bound for a loaded machine, no test depends on it
MODERN = "2026-07-28"
LEGACY = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
ACCEPT = {"Accept": "application/json, text/event-stream"}


@dataclass
class Server:
    """A server that listens at ``url``; ``log`` is what it has written on stderr so far."""

    process: subprocess.Popen[str]
    url: str = ""
    log: list[str] = field(default_factory=list)
    lines: "queue.Queue[str | None]" = field(default_factory=queue.Queue)

    @property
    def base(self) -> str:
        return self.url.removesuffix("/mcp")

    @property
    def address(self) -> tuple[str, int]:
        found = httpx2.URL(self.url)
        return found.host, found.port

    def until(self, pattern: str) -> str:
        """The first line from here on in which ``pattern`` is found."""
        while (line := self.lines.get(timeout=WAIT)) is not None:
            if re.search(pattern, line):
                return line
        raise AssertionError(f"the server ended without a line like {pattern!r}: {''.join(self.log)}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends the signal; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(WAIT)


@contextmanager
def served(*words: str, home: Any, **environ: str) -> Iterator[Server]:
    """`sandbox-runner http` on a free port, with no other configuration than what is given here.

    It has no pool unless ``environ`` sets one: a container that waits would be taken for a run's.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SANDBOX_RUNNER")}
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox_runner", "http", "--port", "0", *words],
        env={**environment, "XDG_CONFIG_HOME": str(home), "SANDBOX_RUNNER_POOL_MAX": "0", **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    server = Server(process)
    reader = threading.Thread(target=_read, args=(server,))
    reader.start()
    try:
        server.url = server.until("listening on").split("listening on ")[1].split(";")[0]
        yield server
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stderr.close()


def _read(server: Server) -> None:
    for line in server.process.stderr:
        server.log.append(line)
        server.lines.put(line)
    server.lines.put(None)


def headers(key: str | None = None, **more: str) -> dict[str, str]:
    """What every client of a server with keys sends."""
    bearer = {} if key is None else {"Authorization": f"Bearer {key}"}
    return {**ACCEPT, "Content-Type": "application/json", **bearer, **more}


def rpc(method: str, params: dict[str, Any] | None = None, *, number: int | str = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}


def modern(
    method: str,
    params: dict[str, Any] | None = None,
    *,
    key: str | None = None,
    token: str | None = None,
    extensions: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The arguments of an httpx request of the newest revision."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {"extensions": {name: {} for name in extensions}},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    }
    if token:
        meta["progressToken"] = token
    routing = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
    for named in {"name", "taskId"} & set(params or {}):
        routing["Mcp-Name"] = params[named]
    return {
        "headers": headers(key, **routing),
        "json": rpc(method, {**(params or {}), "_meta": meta}),
    }


def call(name: str, **arguments: Any) -> dict[str, Any]:
    """The parameters of tools/call."""
    return {"name": name, "arguments": arguments}


def answer(response: httpx2.Response) -> dict[str, Any]:
    """The JSON-RPC response in a body of either type."""
    if response.headers["content-type"].startswith("text/event-stream"):
        data = [
            line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")
        ]
        return json.loads(data[-1])
    return response.json()


@dataclass
class Session:
    """A legacy session: what the client sends with each request."""

    server: Server
    headers: dict[str, str]
    revision: str

    def post(self, client: httpx2.Client, message: dict[str, Any], **more: Any) -> httpx2.Response:
        return client.post(self.server.url, headers=self.headers, json=message, **more)


def open_session(
    server: Server, client: httpx2.Client, *, key: str | None = None, revision: str = "2025-11-25"
) -> Session:
    """Opens one as a client of ``revision`` does."""
    who = {"name": "test", "version": "1"}
    hello = rpc("initialize", {"protocolVersion": revision, "capabilities": {}, "clientInfo": who})
    opened = client.post(server.url, headers=headers(key), json=hello)
    assert answer(opened)["result"]["protocolVersion"] == revision, opened.text
    later = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
    if revision >= "2025-06-18":
        later["MCP-Protocol-Version"] = revision
    session = Session(server, headers(key, **later), revision)
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert session.post(client, ready).status_code == 202
    return session


@contextmanager
def raw(server: Server, request: dict[str, Any]) -> Iterator[socket.socket]:
    """A connection on which ``request`` has been sent, whole; closing it is the client's disconnect."""
    with socket.create_connection(server.address) as connection:
        body = json.dumps(request["json"]).encode()
        connection.sendall(head(server, len(body), request["headers"]) + body)
        yield connection


def head(server: Server, length: int, fields: dict[str, str]) -> bytes:
    """The head of a POST to the server."""
    host, port = server.address
    lines = [f"Host: {host}:{port}", f"Content-Length: {length}", *map(": ".join, fields.items())]
    return "\r\n".join(["POST /mcp HTTP/1.1", *lines, "", ""]).encode()
