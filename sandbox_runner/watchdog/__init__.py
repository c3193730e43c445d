"""What cleans up when the process that owns the containers is killed.

A small process in a session of its own holds one end of a pipe. When the pipe closes without
a farewell, or its parent is gone, it removes every container that carries the parent's instance
label. It also holds the deadlines of containers without an agent, for an owner that is stopped.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROCESS = Path(__file__).with_name("process.py")
_DETACHED = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "DETACHED_PROCESS", 0)
_FAREWELL_TIME = 5  # seconds for the process to end after its farewell


class Watchdog:
    """The owner's end of the pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def hold_deadline(self, name: str, seconds: float) -> None:
        """Removes the container ``name`` in ``seconds`` from now unless `release` comes before."""
        self._send({"hold": name, "seconds": seconds})

    def release(self, name: str) -> None:
        self._send({"release": name})

    def _send(self, message: dict[str, object]) -> None:
        # Below PIPE_BUF, so that a line is never torn; a dead watchdog must not end the run.
        with suppress(OSError):
            os.write(self._pipe, json.dumps(message).encode() + b"\n")


@contextmanager
def guarded(instance: str, *, engine: str = "docker", docker_host: str | None) -> Iterator[Watchdog]:
    """A watchdog over the containers of ``instance`` on ``engine`` for as long as the context lasts."""
    reader, writer = os.pipe()
    try:
        process = subprocess.Popen(
            # -S: it needs site-packages only in the end, and then from the path it is given.
            [sys.executable, "-I", "-S", str(_PROCESS)],
            stdin=reader,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Out of reach of the signals that a terminal sends to the owner's process group.
            start_new_session=sys.platform != "win32",
            creationflags=_DETACHED,
        )
    except BaseException:  # whatever it is, the pipe is closed before it goes on
        os.close(writer)
        raise
    finally:
        os.close(reader)
    watchdog = Watchdog(writer)
    watchdog._send(
        {
            "instance": instance,
            "engine": engine,
            "docker_host": docker_host,
            "path": sys.path,
            "parent": os.getpid(),
        }
    )
    try:
        yield watchdog
    finally:
        watchdog._send({"farewell": True})
        os.close(writer)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_FAREWELL_TIME)
