"""The interpreter that waits to be the program: started before there is a job, by `usercustomize` or here.

That of `usercustomize` can be a session's kernel instead.
"""

import _signal  # type: ignore[import-not-found]  # what `signal` wraps
import posix

from .program import Program, close, spawn
from .protocol import Job
from .value import Value

TYPE_CHECKING = False  # as in `typing`, which costs a run its time to load
if TYPE_CHECKING:
    from .kernel import Kernel

_BEGIN = 1000  # where a command finds the end of its pipe: no interpreter has that many files as it starts
_CHUNK = 1 << 16
_USER_SITE = ".local"  # a program's own packages, which Python looks for as it starts


class Waiting:
    """It takes no other job than one with its own command, environment and folder.

    ``kernel``, unless empty, is what it can be run with to be a kernel, in the same environment and folder.
    """

    __slots__ = ("_answer", "_begin", "_job", "_kernel", "answers", "loading", "program")

    def __init__(
        self, program: Program, job: Job, *, begin: int, answers: int = -1, kernel: str = ""
    ) -> None:
        self.program = program
        self.answers = answers
        self.loading = False
        self._answer = b""
        self._job = job
        self._begin = begin
        self._kernel = [job.argv[0], kernel.encode()] if kernel else []

    @property
    def can_be_kernel(self) -> bool:
        """Whether it is worth keeping for a kernel that may come."""
        return bool(self._kernel) and not self.loading and not self._answer

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
        same = job.argv == self._job.argv and self._has_place_of(job)
        return same and not value.descriptors() and not self._shadowed() and self._write(b"\0")

    def begin_kernel(self, job: Job) -> "Kernel | None":
        """Lets it be the kernel of ``job``. None where it cannot be that; then call `end`."""
        from .kernel import Kernel

        same = self.can_be_kernel and job.argv == self._kernel and self._has_place_of(job)
        if not same or not self._write(b"\1"):
            return None
        posix.set_blocking(self._begin, False)
        posix.set_blocking(self.answers, False)
        try:
            # A second one, as the number of the first may not become free: see `usercustomize`.
            return Kernel(self.program, code_pipe=posix.dup(self._begin), message_pipe=self.answers)
        except OSError:
            return None

    def end(self) -> None:
        """Kills it, unless it has ended, and closes its pipes."""
        try:
            posix.kill(self.program.pid, _signal.SIGKILL)
            posix.waitpid(self.program.pid, 0)
        except OSError:  # it has been reaped
            pass
        close([self.program.stdin, self.program.stdout, self.program.stderr])

    def _has_place_of(self, job: Job) -> bool:
        same = job.env == self._job.env and job.cwd == self._job.cwd
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
