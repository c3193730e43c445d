"""Where a root filesystem is made: beside those that are used, so that it is there at once or never."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sandbox_runner.engines.oci.store import images_folder

PREFIX = ".new-"


@contextmanager
def making() -> Iterator[Path]:
    """A folder for what is being made, gone after it; as long as this process lives nobody clears it away."""
    images_folder().mkdir(mode=0o755, parents=True, exist_ok=True)
    while True:
        with tempfile.TemporaryDirectory(dir=images_folder(), prefix=PREFIX) as scratch:
            lock = _opened(Path(scratch))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not Path(scratch).exists():
                    continue  # someone who cleared away was quicker than the lock
                yield Path(scratch)
                return
            finally:
                os.close(lock)


def clear_abandoned() -> None:
    """Removes what was being made by a process that was killed."""
    for folder in images_folder().glob(f"{PREFIX}*/"):
        with suppress(OSError):  # it is gone by now, or its maker lives
            lock = _opened(folder)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(lock)


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
