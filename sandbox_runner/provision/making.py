"""Where a root filesystem is made: beside those that are used, so that it is there at once or never."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sandbox_runner.engines.oci.store import images_folder

PREFIX = ".new-"
_LOCK = "lock"
_YOUNG = 60  # seconds in which one without a lock may be about to get it


@contextmanager
def making() -> Iterator[Path]:
    """A folder for what is being made, gone after it; as long as this process lives nobody clears it away."""
    images_folder().mkdir(mode=0o755, parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=images_folder(), prefix=PREFIX) as scratch,
        (Path(scratch) / _LOCK).open("wb") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(scratch)


def clear_abandoned() -> None:
    """Removes what was being made by a process that was killed."""
    for folder in images_folder().glob(f"{PREFIX}*/"):
        with suppress(OSError):  # it is gone by now, or its maker lives
            if _is_abandoned(folder):
                shutil.rmtree(folder)


def _is_abandoned(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime > _YOUNG
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
