"""Clients of the MCP server on stdin and stdout: the SDK's own, and one of raw lines that may misbehave."""

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from anyio.from_thread import start_blocking_portal
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from sandbox_runner.engines.docker.inventory import list_runs

WAIT = 60.0  # seconds: a bound for a loaded machine, no test depends on it
COMMAND = [sys.executable, "-m", "sandbox_runner", "stdio"]
ENVIRONMENT = {"SANDBOX_RUNNER_BUILD_ON_FIRST_USE": "false"}  # tests find the images, or fail
MODERN, LEGACY = "2026-07-28", ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
RUNNING = "sleep 600"


class Pipe:
    """A server and both ends of its pipes. Lines are read by a thread, once ``read`` is called."""

    def __init__(self, *words, version=MODERN, env=None, reading=True, **options):
        self.version = version
        self.lines: list[dict] = []
        self._news = threading.Condition()
        self._next = 0
        self._reader = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close; a pipe would fill
        self.process = subprocess.Popen(
            [*COMMAND, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **ENVIRONMENT, **(env or {})},
            start_new_session=True,
            **options,
        )
        if reading:
            self.read()

    @property
    def pid(self):
        return self.process.pid

    def read(self):
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            if not line.endswith(b"\n"):
                break  # we have stopped reading
            message = json.loads(line)
            with self._news:
                self.lines.append(message)
                self._news.notify_all()
        with self._news:
            self._reader = None
            self._news.notify_all()

    def write(self, data: bytes):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, message):
        self.write(json.dumps(message).encode() + b"\n")

    def request(self, method, params=None, *, number=None):
        """Sends a request; returns its id."""
        if number is None:
            self._next += 1
            number = self._next
        params = dict(params or {})
        if self.version == MODERN:
            params["_meta"] = {
                "io.modelcontextprotocol/protocolVersion": self.version,
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": {"name": "pipe", "version": "1"},
                **params.get("_meta", {}),
            }
        self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return number

    def notify(self, method, params):
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def start_call(self, tool, *, token=None, number=None, **arguments):
        params = {"name": tool, "arguments": arguments}
        if token is not None:
            params["_meta"] = {"progressToken": token}
        return self.request("tools/call", params, number=number)

    def answer(self, number, seconds=WAIT):
        """The message that answers the request ``number``."""
        return self.line(lambda each: "method" not in each and each.get("id") == number, seconds)

    def line(self, wanted, seconds=WAIT):
        """The first line that is ``wanted``, once there is one."""
        deadline = time.monotonic() + seconds
        seen = 0
        with self._news:
            while True:
                for each in self.lines[seen:]:
                    if wanted(each):
                        return each
                seen = len(self.lines)
                left = deadline - time.monotonic()
                assert left > 0, f"no such line in {seconds} s; the last ones: {self.lines[-3:]}"
                assert self._reader is not None, f"stdout has ended; the last lines: {self.lines[-3:]}"
                self._news.wait(left)

    def call(self, tool, **arguments):
        """The result of a tool."""
        answer = self.answer(self.start_call(tool, **arguments))
        assert "result" in answer, answer
        return answer["result"]

    def shake_hands(self):
        """The handshake of the older revisions; the newest has none."""
        if self.version == MODERN:
            return
        info = {"name": "pipe", "version": "1"}
        params = {"protocolVersion": self.version, "capabilities": {}, "clientInfo": info}
        number = self.request("initialize", params)
        if self._reader is not None:
            assert self.answer(number)["result"]["protocolVersion"] == self.version
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def stop_reading(self):
        """Closes stdout's only reader: what the server writes from then on fails."""
        read, write = os.pipe()
        os.close(write)
        os.dup2(read, self.process.stdout.fileno())  # under the thread that reads it
        os.close(read)

    def errors(self):
        """What the server has written to stderr."""
        self._errors.seek(0)
        return self._errors.read().decode()

    def exit_status(self, seconds=WAIT):
        return self.process.wait(timeout=seconds)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._errors.close()
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        if self._reader is None:
            self.process.stdout.close()


@contextmanager
def pipe(*words, **options) -> Iterator[Pipe]:
    """A server for one test."""
    server = Pipe(*words, **options)
    try:
        yield server
    finally:
        server.close()


class SdkClient:
    """The SDK's client in a thread of its own, called as if it were synchronous."""

    def __init__(self, portal, client):
        self.portal = portal
        self.client = client

    def call(self, tool, *, progress=None, timeout=WAIT, **arguments):
        async def go():
            return await self.client.call_tool(
                tool, arguments, read_timeout_seconds=timeout, progress_callback=progress
            )

        return self.portal.call(go)

    def start(self, tool, *, progress=None, **arguments):
        """A future of the answer; cancelling it cancels the call."""
        return self.portal.start_task_soon(
            lambda: self.client.call_tool(tool, arguments, progress_callback=progress)
        )

    def wait_for(self, event):
        self.portal.call(event.wait)

    def tools(self):
        return self.portal.call(self.client.list_tools).tools


@contextmanager
def sdk_client(*words, mode="auto", env=None) -> Iterator[SdkClient]:
    """A server, and the SDK's client that started it; ``mode`` is auto, legacy or a modern revision."""
    with start_blocking_portal() as portal, Path(os.devnull).open("w") as errors:
        server = StdioServerParameters(
            command=COMMAND[0], args=[*COMMAND[1:], *words], env={**os.environ, **ENVIRONMENT, **(env or {})}
        )
        client = Client(stdio_client(server, errlog=errors), mode=mode)
        with portal.wrap_async_context_manager(client):
            yield SdkClient(portal, client)


def within(seconds, condition):
    """Whether ``condition()`` comes true in ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)  # between two looks
    return bool(met)


def containers_of(docker_client, server, *, ahead=True):
    """The containers that a server owns; without those that it started ahead, where they do not matter."""
    owned = [run for run in list_runs(docker_client) if f":{server.pid}:" in run.owner]
    return [run.run_id for run in owned if ahead or not run.ahead]


def is_full(server):
    """Whether the server's stdout takes no more: much waits there, and stays as much."""
    before = _unread(server)
    time.sleep(0.5)  # five messages would come
    return before > 30000 and _unread(server) == before


def _unread(server):
    count = fcntl.ioctl(server.process.stdout.fileno(), termios.FIONREAD, b"\0" * 4)
    return int.from_bytes(count, sys.byteorder)
