"""The HTTP server as it is, with the conformance suite's fixtures beside its own tools.

Started by tests as a program of its own: `python fixture_server.py [arguments of sandbox-runner http]`.
The suite cannot send a key, so here each request that carries none is given the one in
`CONFORMANCE_KEY`; the server asks for it as ever. Nothing in the product leads here.
"""

import os
import sys

from fixture_content import mount_content
from fixture_input import mount_input
from fixture_tasks import LONG, mount_tasks
from mcp.server import MCPServer
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox_runner.cli import main
from sandbox_runner.server import tasks
from sandbox_runner.server.http import serving
from sandbox_runner.server.service import Service

_KEY = os.environ.pop("CONFORMANCE_KEY")
_build_server, _build_application = serving.build_server, serving.build_application


def build_server(service: Service) -> MCPServer:
    server = _build_server(service, task_tools=tasks.TASK_TOOLS | LONG.keys())
    for mount in (mount_content, mount_input, mount_tasks):
        mount(server)
    return server


def build_application(*arguments, **options) -> ASGIApp:
    app = _build_application(*arguments, **options)

    async def with_key(scope: Scope, receive: Receive, send: Send) -> None:
        headers = list(scope["headers"])
        if all(name != b"authorization" for name, _ in headers):
            headers.append((b"authorization", f"Bearer {_KEY}".encode()))
        await app({**scope, "headers": headers}, receive, send)

    return with_key


serving.build_server, serving.build_application = build_server, build_application
sys.exit(main(["http", *sys.argv[1:]]))
