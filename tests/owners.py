"""Owners of runs for the tests that kill them, as many as they like: see `owner_that_runs`."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

OWNER = Path(__file__).parent / "adversarial" / "owner_that_runs.py"
WAIT = 60  # seconds: a bound for a loaded machine


class Nursery:
    """Starts owners, each in a session and group of its own, named by its pid."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, count: int, *arguments: str) -> list[int]:
        """Starts ``count`` at once; returns when all are up."""
        self._process.stdin.write((" ".join(arguments) + "\n") * count)
        self._process.stdin.flush()
        return [int(self._process.stdout.readline()) for _ in range(count)]


@contextmanager
def nursery(**environment: str) -> Iterator[Nursery]:
    """Where it ends the owners that were not killed are."""
    command = [sys.executable, str(OWNER), "--nursery"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        try:
            yield Nursery(process)
        finally:
            for child in psutil.Process(process.pid).children():
                child.kill()
            process.kill()


def kill(owner: int) -> None:
    """Kills it and all of its group. Raises ProcessLookupError where it had ended by itself."""
    os.killpg(owner, signal.SIGKILL)


def wait_for_end(owners: list[int]) -> None:
    for owner in owners:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(owner).wait(WAIT)
