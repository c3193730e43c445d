"""One setup or uninstall at a time on this machine: what two change at once, neither has as it expects."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sandbox_runner.provision.progress import Progress, Report

_WAITS = Progress("engine", "setup", "waiting for another setup on this machine")


@contextmanager
def one_at_a_time(folder: Path, report: Report) -> Iterator[None]:
    """Waits for its turn among all that change what ``folder`` records, and tells ``report`` if it has to.

    The kernel ends a turn with its process. Where the folder cannot be made nothing is recorded, and
    nobody waits.
    """
    try:
        import fcntl  # noqa: F401, PLC0415 - Windows has none

        lock = _locked(folder, report)
    except (ImportError, PermissionError):
        yield
        return
    try:
        yield
    finally:
        os.close(lock)


def _locked(folder: Path, report: Report) -> int:
    import fcntl  # noqa: PLC0415 - as above

    while True:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(_WAITS)
            fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(folder.stat(), os.fstat(lock)):
                return lock
        os.close(lock)  # who had it before has removed the folder
