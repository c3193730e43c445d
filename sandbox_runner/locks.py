"""Locks between the processes of one user: files that nobody else can open, and so hold.

The kernel frees one with its process, however that ends. The file goes when it is freed; what a process
that was killed leaves is empty, and for the next one to take.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

Free = Callable[[], None]


def lock(file: Path) -> Free | None:
    """Locks ``file``; what frees it, or None where another one has it, or has just removed its folder.

    Waits for nobody. On Windows nothing is locked, and all go on. Raises OSError where the file cannot be
    made or locked.
    """
    try:
        import fcntl  # noqa: PLC0415 - Windows has none
    except ImportError:
        return lambda: None
    try:
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    ours = False
    try:
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = os.path.samestat(file.stat(), os.fstat(opened))
    finally:
        if not ours:
            os.close(opened)
    return partial(_free, file, opened) if ours else None


def _free(file: Path, opened: int) -> None:
    file.unlink(missing_ok=True)  # still locked: who has opened it by now sees that it is gone
    os.close(opened)
