"""The server as its users start it: on a pipe, or over HTTP with a key."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TextIO

STDIO = [sys.executable, "-m", "sandbox_runner", "stdio"]
_COMMAND = [sys.executable, "-m", "sandbox_runner", "http"]
_START = re.compile(r"sandbox-runner: listening on (?P<url>http://\S+);")
_END = 30  # seconds for the server to leave


@dataclass(frozen=True)
class Served:
    """Where a server listens, and a key for it."""

    url: str
    key: str


def passed_on() -> dict[str, str]:
    """What the server may need of this environment: clients start it with hardly any."""
    ours = ("PYTHON", "DOCKER_", "SANDBOX_RUNNER_")
    return {name: value for name, value in os.environ.items() if name.startswith(ours)}


def make_key(folder: Path) -> str:
    """A key that a server with the settings `in_folder` takes."""
    command = [*_COMMAND, "--new-key", "peer", *_in_folder(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


@contextmanager
def http_server(folder: Path, command: Sequence[str] = _COMMAND, **environment: str) -> Iterator[Served]:
    """A server on a free port, with one key, that ends with the context."""
    key = make_key(folder)
    arguments = [*command, "--port", "0", *_in_folder(folder)]
    variables = {**os.environ, **{name: value.format(key=key) for name, value in environment.items()}}
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=variables) as server:
        assert server.stderr is not None
        try:
            url = _url(server.stderr)
            Thread(target=server.stderr.read, daemon=True).start()  # so that it can always write
            yield Served(url, key)
            server.send_signal(signal.SIGTERM)
            assert server.wait(_END) == 0
        finally:
            server.kill()


def _url(said: TextIO) -> str:
    """Where the server says that it listens; fails with what it says instead."""
    lines = []
    while line := said.readline():
        if found := _START.match(line):
            return found["url"]
        lines.append(line)
    raise AssertionError("".join(lines))


def _in_folder(folder: Path) -> list[str]:
    return ["--set", f"keys_file={folder / 'keys'}"]
