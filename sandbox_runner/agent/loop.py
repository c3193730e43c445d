"""PID 1: seals itself, greets the host, and runs one job after another until the host is gone.

One thread and one poll: nothing here may block, or a deadline would wait for it.
"""

import posix
import select
import sys
from errno import EAGAIN
from time import monotonic

from . import protocol
from .channel import Channel
from .evidence import Evidence
from .program import Program, kill_everything, open_oom_score, reap, spawn
from .protocol import ProtocolError
from .run import KILLING, OVER, Nothing, Run
from .seal import close_inherited, ignore_signals, undumpable
from .value import Value
from .waiting import Waiting, start_waiting
from .workspace import Workspace

TYPE_CHECKING = False  # as in `typing`, which costs a run its time to load
if TYPE_CHECKING:
    from .giveback import GiveBack
    from .kernel import Kernel
    from .kernel_run import KernelRun

_FILE_KINDS = (protocol.FILE, protocol.FILE_DATA, protocol.FILE_END)
_RUN_KINDS = (protocol.STDIN, protocol.STDIN_EOF, protocol.SIGNAL, protocol.CANCEL)
_LONGEST_WAIT = 3600  # seconds
_WAKEUPS = 4096  # bytes, each a SIGCHLD
_BLANK = 32  # below it are no characters of a name, but what `Waiting` is told else


class Agent:
    """What PID 1 holds: all its descriptors are opened here, as a program can forbid it to open more."""

    __slots__ = (
        "channel", "evidence", "kernels", "oom_score", "over", "run", "value", "waiting", "wakeup",
        "workspace",
    )  # fmt: skip

    def __init__(self, *, oom_score: int, wakeup: int, waiting: Waiting | None) -> None:
        self.oom_score = oom_score
        self.wakeup = wakeup
        self.channel = Channel()
        self.evidence = Evidence()
        self.workspace = Workspace()
        self.value = Value()  # of the next job
        self.waiting = waiting  # for the first job
        self.run: "Run | KernelRun | None" = None
        self.kernels: "dict[bytes, Kernel]" = {}  # by name
        self.over = 0  # the number of the last job that ended


def main(waiting: Waiting | None = None) -> None:
    """Does not return. ``waiting`` is PID 1's child already; otherwise the arguments are its command."""
    if posix.getpid() != 1:
        sys.exit("This is PID 1 of a container; elsewhere it would kill all processes of its user.")
    if not waiting:
        close_inherited()
    posix.umask(0o022)
    oom_score = open_oom_score()
    flags = protocol.UNDUMPABLE if undumpable() else 0
    if not waiting and len(sys.argv) > 1:
        waiting = start_waiting(sys.argv[1:], oom_score=oom_score)
    flags |= protocol.WARM if waiting else 0
    agent = Agent(oom_score=oom_score, wakeup=ignore_signals(), waiting=waiting)
    try:
        _serve(agent, flags)
    except EOFError:
        kill_everything()
        posix._exit(0)


def _serve(agent: Agent, flags: int) -> None:
    agent.channel.send(protocol.HELLO, 0, protocol.HELLO_BODY.pack(protocol.VERSION, flags))
    try:
        while True:
            _step(agent)
    except ProtocolError as error:
        kill_everything()
        _fail(agent, protocol.STAGE_PROTOCOL, str(error))
        agent.channel.finish()
        posix._exit(1)


def _step(agent: Agent) -> None:
    ready = _wait(agent)
    if 1 in ready:
        agent.channel.flush()
    if 0 in ready:
        for kind, job, payload in agent.channel.receive():
            _handle(agent, kind, job, payload)
    if agent.waiting and agent.waiting.loading and agent.waiting.answers in ready:
        agent.waiting.take_answer()
        if not agent.waiting.loading:
            _tell_preloaded(agent, protocol.WARM)
    if agent.wakeup in ready or (agent.run and agent.run.phase == KILLING):
        _reap(agent, ready)
    if agent.run:
        agent.run.advance(ready, monotonic())
        if agent.run.phase == OVER:
            _close_ended(agent)
            agent.run = None
            agent.over += 1


def _wait(agent: Agent) -> set[int]:
    """The descriptors that are ready. By select: poll fails where the program lowered our limit of files."""
    readers, writers = [0, agent.wakeup], [] if agent.channel.clear else [1]
    if agent.waiting and agent.waiting.loading:
        readers.append(agent.waiting.answers)
    timeout = None
    if agent.run:
        now = monotonic()
        readers += agent.run.readers(now)
        writers += agent.run.writers()
        timeout = min(max(agent.run.next_look(now) - now, 0), _LONGEST_WAIT)
    readable, writable, _ = select.select(readers, writers, (), timeout)
    return {*readable, *writable}


def _reap(agent: Agent, ready: set[int]) -> None:
    if agent.wakeup in ready:
        posix.read(agent.wakeup, _WAKEUPS)  # before the waiting, so that a later end is told again
    ended, any_left = reap()
    if agent.waiting and agent.waiting.program.pid in ended:
        agent.waiting.end()
        if agent.waiting.loading:
            _tell_preloaded(agent, 0)
        agent.waiting = None
    for kernel in agent.kernels.values():
        kernel.ended = ended.get(kernel.program.pid, kernel.ended) if kernel.ended < 0 else kernel.ended
    if agent.run:
        agent.run.note_ended(ended, any_left=any_left)


def _close_ended(agent: Agent) -> None:
    """Forgets the kernel of the job that is over, if it is over itself, as the host is told."""
    kernel = agent.run and agent.run.kernel
    if kernel and kernel.ended >= 0:
        kernel.close()
        agent.kernels = {name: each for name, each in agent.kernels.items() if each is not kernel}


def _handle(agent: Agent, kind: int, job: int, payload: bytes) -> None:
    if 0 < job <= agent.over:
        return  # sent before the host knew that the job was over
    if job != agent.over + 1:
        raise ProtocolError(f"a frame of job {job} after job {agent.over}")
    if agent.run:
        agent.run.handle(kind, payload)
    elif kind in _FILE_KINDS or kind == protocol.VALUE:
        _receive(agent, kind, payload)
    elif kind == protocol.JOB:
        _start(agent, job, payload)
    elif kind == protocol.PRELOAD:
        _preload(agent, payload)
    else:
        raise ProtocolError(f"a frame of kind {kind} while no job runs")


def _receive(agent: Agent, kind: int, payload: bytes) -> None:
    try:
        if kind == protocol.VALUE:
            agent.value.take(payload)
        else:
            agent.workspace.take(kind, payload)
    except OSError as error:
        agent.workspace.close()
        _fail(agent, protocol.STAGE_FILE, _sentence(error), error.errno)


def _preload(agent: Agent, names: bytes) -> None:
    if len(names) > protocol.MAX_PRELOAD or min(names, default=0) < _BLANK:
        raise ProtocolError("a PRELOAD that is too long, or none")
    if not agent.waiting or not agent.waiting.load(names):
        _tell_preloaded(agent, 0)


def _tell_preloaded(agent: Agent, flags: int) -> None:
    agent.channel.send(protocol.PRELOADED, agent.over + 1, bytes([flags]))


def _start(agent: Agent, number: int, payload: bytes) -> None:
    agent.workspace.close()
    started = monotonic()
    job = protocol.unpack_job(payload)
    agent.evidence.begin()
    try:
        if job.kernel:
            _start_in_kernel(agent, number, job, started)
        else:
            _start_program(agent, number, job, started)
    except ImportError as error:  # a program of before forbids to open files
        _fail(agent, protocol.STAGE_EXEC, str(error))
    except OSError as error:
        _fail(agent, protocol.STAGE_EXEC, _sentence(error), error.errno)


def _start_program(agent: Agent, number: int, job: protocol.Job, started: float) -> None:
    giveback = _giveback(agent, job)
    program, flags = _program(agent, job)
    agent.channel.send(protocol.STARTED, number, bytes([flags]))
    agent.value = Value()
    agent.run = Run(
        number,
        job,
        program,
        started=started,
        channel=agent.channel,
        evidence=agent.evidence,
        giveback=giveback,
    )


def _giveback(agent: Agent, job: protocol.Job) -> "GiveBack | Nothing":
    """Most jobs want nothing back, and are spared the time and the memory of its modules."""
    if not job.artifacts and not agent.value.descriptors():
        return Nothing()
    from .giveback import GiveBack

    return GiveBack(job, folder=agent.workspace.root, value=agent.value)


def _start_in_kernel(agent: Agent, number: int, job: protocol.Job, started: float) -> None:
    from .kernel_run import KernelRun

    kernel, flags, state_lost = _kernel(agent, job)
    agent.channel.send(protocol.STARTED, number, bytes([flags]))
    code = agent.value.take_out()
    agent.value = Value()
    agent.run = KernelRun(
        number,
        job,
        kernel,
        code,
        started=started,
        state_lost=state_lost,
        channel=agent.channel,
        evidence=agent.evidence,
        giveback=_giveback(agent, job),
    )


def _kernel(agent: Agent, job: protocol.Job) -> "tuple[Kernel, int, bool]":
    """The kernel for ``job``, the flags of STARTED, and whether it replaces one that has ended meanwhile."""
    kernel = agent.kernels.get(job.kernel)
    if kernel and kernel.ended < 0:
        return kernel, 0, False
    if kernel:
        kernel.close()
        del agent.kernels[job.kernel]
    if len(agent.kernels) >= protocol.MAX_KERNELS:
        raise OSError(EAGAIN, "there are as many kernels as there may be", job.kernel)
    agent.kernels[job.kernel], flags = _new_kernel(agent, job)
    return agent.kernels[job.kernel], flags, bool(kernel)


def _new_kernel(agent: Agent, job: protocol.Job) -> "tuple[Kernel, int]":
    waiting, agent.waiting = agent.waiting, None
    if waiting:
        kernel = waiting.begin_kernel(job)
        if kernel:
            return kernel, protocol.WARM
        waiting.end()
    from .kernel import start_kernel

    return start_kernel(job, home=agent.workspace.root, oom_score=agent.oom_score), 0


def _program(agent: Agent, job: protocol.Job) -> tuple[Program, int]:
    """The program of ``job``, and the flags of STARTED. In a session the kernel may still be to come."""
    waiting = agent.waiting
    if waiting and not (job.session and waiting.can_be_kernel):
        agent.waiting = None
        if not job.session and waiting.begin(job, agent.value):
            return waiting.program, protocol.WARM
        waiting.end()
    return spawn(job, agent.value.descriptors(), home=agent.workspace.root, oom_score=agent.oom_score), 0


def _fail(agent: Agent, stage: int, message: str, errno: int | None = 0) -> None:
    """The job is not run, or no longer; what else arrives for it is dropped."""
    agent.over += 1
    agent.value.close()
    agent.value = Value()
    body = protocol.FAILED_BODY.pack(stage, errno or 0) + message.encode(errors="replace")
    agent.channel.send(protocol.FAILED, agent.over, body)


def _sentence(error: OSError) -> str:
    name = error.filename
    shown = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    return f"{shown}: {error.strerror}"
