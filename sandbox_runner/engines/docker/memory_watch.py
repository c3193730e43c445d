"""The kernel's own word that memory ran out in a container of this machine, where its daemon may never tell.

What a daemon hears after it has removed a container it drops. But an eventfd at the container's memory
cgroup is raised by one at each want of memory, and by one more when the cgroup is gone: who reads it late
still knows. https://docs.kernel.org/admin-guide/cgroup-v1/memory.html, section 10. Version 2 has no such
thing, so there the daemon is all that is asked.
"""

import os
import select
import time
from contextlib import suppress
from pathlib import Path

_GONE_TIME = 1.0  # seconds from the removal of a cgroup until the kernel has told all


class MemoryWatch:
    """What is told of the memory cgroup at ``folder``, from now on until `close`. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told = 0
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self._register()
        except OSError:
            self.close()
            raise

    def ran_out(self) -> bool:
        """Whether memory ran out there. Where the cgroup is gone and it did not, this blocks for a second."""
        give_up = time.monotonic() + _GONE_TIME
        while True:
            self._take()
            is_there = self._folder.exists()
            left = give_up - time.monotonic()
            # One alone is the end of the cgroup, unless that is there. The kernel takes its time to tell.
            if is_there or self._told > 1 or left <= 0:
                return self._told > 1 or (self._told == 1 and is_there)
            select.select([self._event], [], [], left)

    def close(self) -> None:
        """Harmless to repeat."""
        if self._event >= 0:
            os.close(self._event)
            self._event = -1

    def _register(self) -> None:
        told_of = os.open(self._folder / "memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            (self._folder / "cgroup.event_control").write_text(f"{self._event} {told_of}")
        finally:
            os.close(told_of)

    def _take(self) -> None:
        with suppress(BlockingIOError):
            self._told += os.eventfd_read(self._event)


def watch_memory(folder: Path | None) -> MemoryWatch | None:
    """A watch of the memory cgroup at ``folder``; None where there is none, or we may not have one."""
    with suppress(OSError):
        return None if folder is None else MemoryWatch(folder)
    return None
