"""Python imports a module of this name as the last step of its start; images link it into Python's path.

In PID 1 it makes two of the one interpreter that has come up: PID 1 goes on as the agent, and a child
waits here to be the program. Once told, the child lets the import return, and Python does what it would
have done: opens the program's file, runs it in `__main__`, and exits. Nothing of ours is on its stack,
and what it finds is what any `python3 main.py` finds, made by Python itself from the same environment.
Told to be a session's kernel it is, in the same way, what any `python3` with the kernel's folder is.

Where the container's command names a file that is there, or PID 1 is some other Python, this does nothing.
"""

import _imp
import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False  # as in `typing`, which costs a run its time to load
if TYPE_CHECKING:
    from types import ModuleType

_AGENT = "/usr/lib/sandbox-runner/agent"
_MODULES = (  # each after those it imports
    "protocol", "channel", "program", "evidence", "value", "stdio", "run", "seal", "waiting", "workspace",
    "loop",
)  # fmt: skip
_MUCH = 1 << 15  # bytes, more than any of them has
_FORMAT, _PIPES = 0o170000, (0o010000, 0o140000)  # pipe, socket
PROGRAM = ["main.py"]  # the arguments of Python's in images/python/language.toml
KERNEL = "/usr/lib/sandbox-runner/kernel"  # and those of its kernel


def _divide() -> None:
    """Returns in the child only, and there once it is to run the program."""
    if not _has_pipes():
        _be_the_agent(None)
    posix.closerange(3, 1 << 16)  # what the container's runtime may have left open
    # The agent keeps descriptor 4 for ever, and takes 3 for another such: neither may be free for a job's.
    begin, begin_end = posix.pipe2(posix.O_CLOEXEC)
    answers, answers_end = posix.pipe2(posix.O_CLOEXEC)
    pipes = [*posix.pipe2(posix.O_CLOEXEC), *posix.pipe2(posix.O_CLOEXEC), *posix.pipe2(posix.O_CLOEXEC)]
    theirs, ours = (pipes[0], pipes[3], pipes[5]), (pipes[1], pipes[2], pipes[4])
    pid = posix.fork()
    if pid:
        for descriptor in (begin, answers_end, *theirs):
            posix.close(descriptor)
        _be_the_agent((pid, begin_end, answers, ours))
    _be_the_program(begin, answers_end, theirs)


def _has_pipes() -> bool:
    """Whether Python has made of its own streams what it will make of the program's pipes."""
    try:
        return all(posix.fstat(number).st_mode & _FORMAT in _PIPES for number in range(3))
    except OSError:  # it has none
        return False


def _be_the_agent(child: tuple[int, int, int, tuple[int, int, int]] | None) -> None:
    """Does not return. Whatever it raises is shown on PID 1's stderr."""
    try:
        _load_agent()
        from agent.loop import main  # type: ignore[import-not-found]
        from agent.program import Program  # type: ignore[import-not-found]
        from agent.waiting import Waiting, own_job  # type: ignore[import-not-found]

        if child is None:
            main()
        else:
            pid, begin, answers, (stdin, stdout, stderr) = child
            for pipe in (stdin, stdout, stderr):
                posix.set_blocking(pipe, False)
            program = Program(pid, stdin=stdin, stdout=stdout, stderr=stderr)
            main(Waiting(program, own_job(sys.orig_argv), begin=begin, answers=answers, kernel=KERNEL))
    except BaseException:  # noqa: BLE001 - shown, and then PID 1 ends
        sys.excepthook(*sys.exc_info())
    finally:
        posix._exit(1)  # or Python would go on to run the program in PID 1


def _load_agent() -> None:
    """Puts the agent, and what it imports, into `sys.modules` without Python's import system.

    That would write all over the memory that PID 1 shares with its child, and what one of them has
    written to is there twice: 0.3 MB in each container that waits.
    """
    _load_compiled("select")
    _load_compiled("_struct")
    agent = sys.modules["agent"] = type(sys)("agent")
    agent.__path__ = [_AGENT]  # of those that only some jobs need
    for name in _MODULES:
        module = type(sys)(f"agent.{name}")
        module.__package__ = "agent"
        sys.modules[module.__name__] = module
        setattr(agent, name, module)
        _run(f"{_AGENT}/__pycache__/{name}.{sys.implementation.cache_tag}.pyc", module.__dict__)
    _load_compiled("_ctypes")
    _load_compiled("gc").freeze()  # or a first collection of all this would fall into a run


def _load_compiled(name: str) -> "ModuleType":
    """Imports a module of Python's that is not written in Python: built in, or a file of `lib-dynload`."""
    if _imp.is_builtin(name):
        module = _imp.create_builtin(ModuleSpec(name, None))
        _imp.exec_builtin(module)
    else:
        folder = [folder for folder in sys.path if folder.endswith("/lib-dynload")][0]  # noqa: RUF015 - needs less
        file = f"{folder}/{name}{_imp.extension_suffixes()[0]}"
        module = _imp.create_dynamic(ModuleSpec(name, None, origin=file))
        _imp.exec_dynamic(module)
    sys.modules[name] = module
    return module


def _run(compiled: str, namespace: dict[str, object]) -> None:
    """Runs what `compileall` made of a module: its code follows 16 bytes (PEP 552)."""
    file = posix.open(compiled, posix.O_RDONLY | posix.O_CLOEXEC)
    code = posix.pread(file, _MUCH, 16)
    posix.close(file)
    exec(marshal.loads(code), namespace)  # noqa: S102, S302 - a file of our own image


def _be_the_program(begin: int, answers: int, stdio: tuple[int, int, int]) -> None:
    """Sets up what `program.spawn` gives a program that is started by it, then waits."""
    import _signal  # type: ignore[import-not-found]  # what `signal` wraps

    posix.setsid()
    posix.umask(0o022)
    _be_the_first_victim()
    for number in _signal.valid_signals() - {_signal.SIGPIPE, _signal.SIGXFSZ}:  # which Python ignores
        if _signal.getsignal(number) == _signal.SIG_IGN:
            _signal.signal(
                number, _signal.SIG_DFL if number != _signal.SIGINT else _signal.default_int_handler
            )
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    for number, descriptor in enumerate(stdio):
        posix.dup2(descriptor, number)
    posix.dup2(begin, 3)
    posix.dup2(answers, 4)
    posix.closerange(5, 1 << 16)
    told = posix.read(3, 1)  # no more: what follows may be the kernel's
    while told > b"\1":
        posix.write(4, _load((told + posix.read(3, 4096)).decode().split()).encode())
        told = posix.read(3, 1)
    if told == b"\1":
        _be_the_kernel()
        return
    posix.closerange(3, 5)
    if not told:
        posix._exit(1)


def _be_the_kernel() -> None:
    """Has Python take the program's file for the kernel's folder, and so run what is in that.

    Descriptors 3 and 4 are already what they are to a kernel.
    """
    sys.path_importer_cache[f"{posix.getcwd()}/{PROGRAM[0]}"] = sys.path_hooks[-1](KERNEL)


def _load(names: list[str]) -> str:
    """Imports the modules; the top-level names that this added, and a blank after each."""
    before = {name.partition(".")[0] for name in sys.modules}
    for name in names:
        try:
            __import__(name)
        except Exception:  # noqa: BLE001, S112 - the program itself meets it, where it imports this
            continue
    added = {name.partition(".")[0] for name in sys.modules} - before
    return " ".join([*sorted(added), "\n"])


def _be_the_first_victim() -> None:
    """The kernel is to take the program before PID 1."""
    try:
        score = posix.open("/proc/self/oom_score_adj", posix.O_WRONLY | posix.O_CLOEXEC)
        posix.write(score, b"1000")
        posix.close(score)
    except OSError:  # no such file, or gVisor
        pass


def _is_ours() -> bool:
    return sys.orig_argv[1:] == PROGRAM and not posix.access(PROGRAM[0], posix.F_OK)


if posix.getpid() == 1 and _is_ours():
    _divide()
