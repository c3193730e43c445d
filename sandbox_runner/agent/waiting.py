"""The interpreter that waits to be the program: started before there is a job, by `usercustomize` or here."""

import _signal  # type: ignore[import-not-found]  # what `signal` wraps
import posix

from .program import Program, close, spawn
from .protocol import Job
from .value import Value

_BEGIN = 1000  # where a command finds the end of its pipe: no interpreter has that many files as it starts
_CHUNK = 1 << 16
_USER_SITE = ".local"  # a program's own packages, which Python looks for as it starts


class Waiting:
    """It takes no other job than one with its own command, environment and folder."""

    __slots__ = ("_answer", "_begin", "_job", "answers", "loading", "program")

    def __init__(self, program: Program, job: Job, *, begin: int, answers: int = -1) -> None:
        self.program = program
        self.answers = answers
        self.loading = False
        self._answer = b""
        self._job = job
        self._begin = begin

    def load(self, names: bytes) -> bool:
        """Has it import modules, which `take_answer` tells the end of. False where it cannot."""
        self.loading = self.answers >= 0 and self._write(names)
        return self.loading

    def take_answer(self) -> None:
        """Takes in names of modules that it has loaded. ``loading`` ends with the last."""
        self._answer += posix.read(self.answers, _CHUNK)
        self.loading = not self._answer.endswith(b"\n")

    def begin(self, job: Job, value: Value) -> bool:
        """Lets it run the program of ``job``. False where it cannot be that; then call `end`."""
        return self._is(job) and not value.descriptors() and not self._shadowed() and self._write(b"\0")

    def end(self) -> None:
        """Kills it, unless it has ended, and closes its pipes."""
        try:
            posix.kill(self.program.pid, _signal.SIGKILL)
            posix.waitpid(self.program.pid, 0)
        except OSError:  # it has been reaped
            pass
        close([self.program.stdin, self.program.stdout, self.program.stderr])

    def _is(self, job: Job) -> bool:
        own = self._job
        same = job.argv == own.argv and job.env == own.env and job.cwd == own.cwd
        return same and not posix.access(_USER_SITE, posix.F_OK)

    def _shadowed(self) -> bool:
        loaded = set(self._answer.decode().split())
        if not loaded:
            return self.loading
        return any(name.partition(".")[0] in loaded for name in posix.listdir("."))

    def _write(self, message: bytes) -> bool:
        try:
            return posix.write(self._begin, message) > 0
        except OSError:  # it has ended
            return False


def own_job(argv: list[str]) -> Job:
    """A job with this command, and PID 1's own environment and folder."""
    job = Job()
    job.argv = [word.encode() for word in argv]
    job.env = [name + b"=" + value for name, value in posix.environ.items()]
    job.cwd = posix.getcwdb()
    return job


def start_waiting(argv: list[str], *, oom_score: int) -> Waiting | None:
    """Starts ``argv``, which is to wait for a byte on descriptor 1000; None where it cannot be started."""
    job = own_job(argv)
    home = posix.open(".", posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    reader, writer = posix.pipe2(posix.O_CLOEXEC)
    try:
        program = spawn(job, [(reader, _BEGIN)], home=home, oom_score=oom_score)
    except OSError:
        return None
    finally:
        close([reader, home])
    return Waiting(program, job, begin=writer)
