"""What the kernel counted for this container. All is opened before any job and only read after.

Control groups version 1 and 2; where they are not visible (gVisor), CPU time comes from /proc
and what cannot be known is None. https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

import posix
import time

from .program import processes

_ROOT = "/sys/fs/cgroup/"
_READABLE = 4096
_USAGE = slice(11, 15)  # of /proc/PID/stat after the name: utime, stime, and both of reaped children
_NANOSECONDS = 1_000_000_000


class Counter:
    """A number in an open file: all of it, or the word after ``key``, times ``factor``."""

    __slots__ = ("descriptor", "factor", "key")

    def __init__(self, descriptor: int, key: bytes, factor: int) -> None:
        self.descriptor = descriptor
        self.key = key
        self.factor = factor

    def read(self) -> int | None:
        """The number, or None."""
        if self.descriptor < 0:
            return None
        try:
            words = posix.pread(self.descriptor, _READABLE, 0).split()
            return int(words[words.index(self.key) + 1 if self.key else 0]) * self.factor
        except (OSError, ValueError, IndexError):
            return None


class Evidence:
    """The counters of this container. What they return is counted from the last `begin` on."""

    __slots__ = ("_cpu", "_cpu_before", "_current", "_oom", "_oom_before", "_peak", "_pids",
                 "_pids_before", "_sampled", "_ticks")  # fmt: skip

    def __init__(self, root: str = _ROOT) -> None:
        self._cpu = _first(root, ("cpuacct/cpuacct.usage", b"", 1), ("cpu.stat", b"usage_usec", 1000))
        self._peak = _first(root, ("memory/memory.max_usage_in_bytes", b"", 1), ("memory.peak", b"", 1))
        self._current = _first(root, ("memory.current", b"", 1))
        self._oom = _first(
            root, ("memory/memory.oom_control", b"oom_kill", 1), ("memory.events", b"oom_kill", 1)
        )
        self._pids = _first(root, ("pids/pids.events", b"max", 1), ("pids.events", b"max", 1))
        self._ticks = posix.sysconf("SC_CLK_TCK")
        self.begin()

    def begin(self) -> None:
        """Counts from now on."""
        self._cpu_before = self._cpu_time()
        self._oom_before = self._oom.read()
        self._pids_before = self._pids.read()
        self._sampled = 0

    @property
    def needs_samples(self) -> bool:
        """Whether the kernel keeps no peak of memory, so that `sample` has to be called now and then."""
        return self._peak.descriptor < 0 <= self._current.descriptor

    def sample(self) -> None:
        """Looks at the memory in use."""
        self._sampled = max(self._sampled, self._current.read() or 0)

    def cpu_time(self) -> int:
        """Nanoseconds used by all but PID 1."""
        return max(self._cpu_time() - self._cpu_before, 0)

    def peak_memory(self) -> int | None:
        """Bytes, or None. Where the kernel keeps a peak, it is that of the container's life."""
        return self._peak.read() or self._sampled or None

    def oom_kills(self) -> int | None:
        """Processes that the kernel killed for want of memory, or None."""
        return _increase(self._oom.read(), self._oom_before)

    def pids_refused(self) -> int | None:
        """Forks that the pids limit refused, or None."""
        return _increase(self._pids.read(), self._pids_before)

    def _cpu_time(self) -> int:
        own = time.process_time_ns()  # first: it brings the group's count up to date
        used = self._cpu.read()
        return self._cpu_time_by_process() if used is None else used - own

    def _cpu_time_by_process(self) -> int:
        reaped = posix.times()
        seconds = reaped.children_user + reaped.children_system
        live = sum(_ticks_of(name) for name in processes())
        return int(seconds * _NANOSECONDS) + live * _NANOSECONDS // self._ticks


def _first(root: str, *places: tuple[str, bytes, int]) -> Counter:
    """The first counter of ``places`` (file, key, factor) whose file is there."""
    for file, key, factor in places:
        try:
            return Counter(posix.open(root + file, posix.O_RDONLY | posix.O_CLOEXEC), key, factor)
        except OSError:
            continue
    return Counter(-1, b"", 0)


def _increase(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else now - before


def full(path: str) -> int | None:
    """1 where the file system at ``path`` has no block or no inode left, else 0; None if unreadable."""
    try:
        state = posix.statvfs(path)
    except OSError:
        return None
    return int(not state.f_bavail or bool(state.f_files and not state.f_favail))


def _ticks_of(process: str) -> int:
    try:
        descriptor = posix.open(f"/proc/{process}/stat", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return 0
    try:
        fields = posix.read(descriptor, _READABLE).rpartition(b")")[2].split()
        return sum(int(ticks) for ticks in fields[_USAGE])
    except (OSError, ValueError):
        return 0
    finally:
        posix.close(descriptor)
