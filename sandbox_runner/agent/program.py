"""The program of a job: started, reaped, killed.

`posix_spawn` and not a fork: it says by itself whether the exec succeeded, needs no code
to run between fork and exec, and copies no page tables. The exec makes the program dumpable again.
"""

import _signal  # type: ignore[import-not-found]  # what `signal` wraps
import posix
from errno import ENOENT

from .protocol import Job

_WALL = 0x40000000  # __WALL: also children that announce their end by another signal than SIGCHLD
_DEFAULT_PATH = b"/usr/local/bin:/usr/bin:/bin"
_FORMAT, _REGULAR = 0o170000, 0o100000
_TAKE_ME_FIRST = b"1000"
_READABLE = 4096


class Program:
    """The main program: its process id, and our ends of its pipes."""

    __slots__ = ("pid", "stderr", "stdin", "stdout")

    def __init__(self, pid: int, *, stdin: int, stdout: int, stderr: int) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr


def open_oom_score() -> int:
    """A descriptor of PID 1's own oom_score_adj, or -1. To be opened while PID 1 is dumpable."""
    try:
        return posix.open("/proc/self/oom_score_adj", posix.O_RDWR | posix.O_CLOEXEC)
    except OSError:
        return -1


def spawn(job: Job, descriptors: list[tuple[int, int]], *, home: int, oom_score: int) -> Program:
    """Starts the program of ``job`` in a session of its own. Raises OSError where it cannot be.

    It has our ``descriptors`` under the numbers beside them.
    ``home`` is the folder that PID 1 returns to, ``oom_score`` what `open_oom_score` returned.
    """
    posix.chdir(job.cwd)
    pipes: list[int] = []
    try:
        for _ in range(3):
            pipes += posix.pipe2(posix.O_CLOEXEC)
        stdio = [(pipes[0], 0), (pipes[3], 1), (pipes[5], 2)]
        pid = _spawn_as_victim(job, stdio + descriptors, oom_score)
    except OSError:
        close(pipes)
        raise
    finally:
        posix.fchdir(home)
    close([pipes[0], pipes[3], pipes[5]])
    ours = [pipes[1], pipes[2], pipes[4]]
    for pipe in ours:
        posix.set_blocking(pipe, False)
    return Program(pid, stdin=ours[0], stdout=ours[1], stderr=ours[2])


def reap() -> tuple[dict[int, int], bool]:
    """The wait status of each child that has ended, by its process id; and whether any is left."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = posix.waitpid(-1, posix.WNOHANG | _WALL)
        except ChildProcessError:
            return ended, False
        if not pid:
            return ended, True
        if not posix.WIFSTOPPED(status):  # which is told of a child that made us its tracer
            ended[pid] = status


def kill_everything() -> None:
    """Sends SIGKILL to all processes of the container but PID 1, in one step that no fork outruns."""
    try:
        posix.kill(-1, _signal.SIGKILL)
    except OSError:  # none is left
        pass


def kill_group(program: Program) -> None:
    """Sends SIGKILL to the program's process group."""
    send_signal(program, _signal.SIGKILL)


def interrupt_group(program: Program) -> None:
    """Sends the program's process group what Ctrl-C would."""
    send_signal(program, _signal.SIGINT)


def kill_session(program: Program) -> None:
    """Sends SIGKILL to the program's process group, and to others of its session, as far as they are seen."""
    kill_group(program)
    for name in processes():
        try:
            if _session_of(name) == program.pid:
                posix.kill(int(name), _signal.SIGKILL)
        except OSError:  # it has ended
            pass


def group_is_left(program: Program) -> bool:
    """Whether any process, be it one that has ended and is not reaped, is in the program's process group."""
    try:
        posix.killpg(program.pid, 0)
    except OSError:
        return False
    return True


def send_signal(program: Program, number: int) -> None:
    """Sends a signal to the main program's process group, if it still has one."""
    try:
        posix.killpg(program.pid, number)
    except OSError:  # none of the group is left
        pass


def close(descriptors: list[int]) -> None:
    """Closes each of them."""
    for descriptor in descriptors:
        posix.close(descriptor)


def processes() -> list[str]:
    """The ids of all processes of the container but PID 1."""
    try:
        return [name for name in posix.listdir("/proc") if name.isdigit() and name != "1"]
    except OSError:  # the program can lower our limit of open files
        return []


def _session_of(process: str) -> int:
    """Field 6 of /proc/PID/stat; the name before it can hold anything."""
    descriptor = posix.open(f"/proc/{process}/stat", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return int(posix.read(descriptor, _READABLE).rpartition(b")")[2].split()[3])
    except (ValueError, IndexError):
        return 0
    finally:
        posix.close(descriptor)


def _spawn_as_victim(job: Job, descriptors: list[tuple[int, int]], oom_score: int) -> int:
    """The child inherits oom_score_adj 1000, so that the kernel takes it before PID 1."""
    own = _exchange(oom_score, _TAKE_ME_FIRST)
    try:
        return _spawn(job, descriptors)
    finally:
        _exchange(oom_score, own)


def _exchange(oom_score: int, value: bytes) -> bytes:
    try:
        former = posix.pread(oom_score, 16, 0)
        posix.pwrite(oom_score, value, 0)
    except OSError:  # no such file, or gVisor
        return value
    return former


def _spawn(job: Job, descriptors: list[tuple[int, int]]) -> int:
    env = dict(string.split(b"=", 1) for string in job.env)
    return posix.posix_spawn(
        _find(job.argv[0], env.get(b"PATH", _DEFAULT_PATH)),
        job.argv,
        env,
        file_actions=[(posix.POSIX_SPAWN_DUP2, ours, theirs) for ours, theirs in descriptors],
        setsid=True,
        setsigmask=(),
        setsigdef=_signal.valid_signals(),
    )


def _find(name: bytes, path: bytes) -> bytes:
    if b"/" in name:
        return name
    for folder in path.split(b":"):
        candidate = (folder or b".") + b"/" + name
        if posix.access(candidate, posix.X_OK) and posix.stat(candidate).st_mode & _FORMAT == _REGULAR:
            return candidate
    raise FileNotFoundError(ENOENT, "not found on PATH", name)
