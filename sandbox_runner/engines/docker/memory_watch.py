"""The kernel's own word that memory ran out in a container of this machine, kept beyond the container's end.

A daemon drops what it hears after it has removed a container. An eventfd at the container's memory cgroup is
raised by one at each want of memory, before anything is killed, and by one more some time after the cgroup is
gone. https://docs.kernel.org/admin-guide/cgroup-v1/memory.html, sections 9 and 10. Version 2 keeps nothing
of the kind: what it tells of a change does not say which, and its files cannot be read once they are gone.
"""

import os
import select
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock

_GONE_TIME = 1.0  # seconds from the removal of a cgroup until the kernel has told of it
_CONTROL = "memory.oom_control"


class MemoryWatch:
    """What the kernel tells of the memory cgroup at ``folder`` until `close`. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()  # a number that was closed may be another file's when it is read
        self._raised = 0
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self._register()
            self._ran_out_before = bool(self._kills())
        except OSError:
            self.close()
            raise

    def ran_out(self, *, wait: bool) -> bool:
        """Whether memory ran out there; False once closed.

        Where the cgroup is gone and the kernel may still have to tell of that, blocks with ``wait``,
        for a second at most.
        """
        with self._lock:
            if self._event < 0:
                return False
            if self._ran_out_before:
                return True
            kills = self._kills()  # a want of memory in a cgroup above raises the eventfd, too
            return self._told_twice(wait=wait) if kills is None else kills > 0

    def close(self) -> None:
        """Harmless to repeat. Waits for `ran_out` in another thread."""
        with self._lock:
            if self._event >= 0:
                os.close(self._event)
                self._event = -1

    def _register(self) -> None:
        control = os.open(self._folder / _CONTROL, os.O_RDONLY | os.O_CLOEXEC)
        try:
            (self._folder / "cgroup.event_control").write_text(f"{self._event} {control}")
        finally:
            os.close(control)

    def _kills(self) -> int | None:
        """None where the cgroup is gone, or a kernel does not count them (before 4.13)."""
        with suppress(OSError, ValueError, IndexError):
            words = (self._folder / _CONTROL).read_text().split()
            return int(words[words.index("oom_kill") + 1])
        return None

    def _told_twice(self, *, wait: bool) -> bool:
        """Whether there was more than the one that tells of the removal."""
        give_up = time.monotonic() + (_GONE_TIME if wait else 0)
        self._take()
        # Were it none, what is to come could be the removal only: a want of memory is told before the kill.
        while self._raised == 1 and (left := give_up - time.monotonic()) > 0:
            select.select([self._event], [], [], left)
            self._take()
        return self._raised > 1

    def _take(self) -> None:
        with suppress(BlockingIOError):
            self._raised += os.eventfd_read(self._event)


def watch_memory(folder: Path | None) -> MemoryWatch | None:
    """A watch of the cgroup at ``folder``; None where there is none, or this process may not have one."""
    with suppress(OSError):
        return None if folder is None else MemoryWatch(folder)
    return None
