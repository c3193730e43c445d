"""One setup or uninstall at a time on this machine: what two change at once, neither has as it expects."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sandbox_runner.locks import Free, lock
from sandbox_runner.provision.progress import Progress, Report

_WAITS = Progress("engine", "setup", "waiting for another setup on this machine")
_NAME = "setup.lock"
_PAUSE = 0.1  # seconds between two looks


@contextmanager
def one_at_a_time(folder: Path, report: Report) -> Iterator[None]:
    """Waits for its turn among all that change what ``folder`` records, and tells ``report`` if it has to.

    Where the folder cannot be written to nothing is recorded, and nobody waits.
    """
    try:
        free = _wait(folder, report)
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        free()
        with suppress(OSError):
            folder.rmdir()  # where nothing is left to undo there is nothing in it


def _wait(folder: Path, report: Report) -> Free:
    told = False
    while (free := _lock(folder)) is None:
        if not told:
            report(_WAITS)
            told = True
        time.sleep(_PAUSE)
    return free


def _lock(folder: Path) -> Free | None:
    folder.mkdir(parents=True, exist_ok=True)
    return lock(folder / _NAME)
