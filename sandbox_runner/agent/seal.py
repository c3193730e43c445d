"""Makes PID 1 untouchable for the program, which runs under the same user id.

Private builtin modules stand in for `ctypes` and `signal`, which cost 4 and 5 ms of a start of 7.
"""

import _signal  # type: ignore[import-not-found]  # what `signal` wraps
import posix

_PR_GET_DUMPABLE = 3
_PR_SET_DUMPABLE = 4
_HIGHEST_FD = 1 << 16


def undumpable() -> bool:
    """Bars other processes of this user from tracing this one, its memory and its descriptors.

    prctl(2), PR_SET_DUMPABLE; ptrace(2), "Ptrace access mode checking". Whether it took effect.
    """
    try:
        import _ctypes  # not in python3-minimal
    except ImportError:
        return False
    prctl = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]  # None: this process
    _ctypes.call_function(prctl, (_PR_SET_DUMPABLE, 0, 0, 0, 0))
    return bool(_ctypes.call_function(prctl, (_PR_GET_DUMPABLE, 0, 0, 0, 0)) == 0)


def ignore_signals() -> int:
    """Ignores every signal that can be, and returns a descriptor that is readable after each SIGCHLD.

    Those a process of the container sends without a handler are not delivered to PID 1 anyway;
    the kernel's own (SIGXCPU, SIGIO of a descriptor whose owner the program set) are.
    """
    for number in _signal.valid_signals() - {_signal.SIGKILL, _signal.SIGSTOP, _signal.SIGCHLD}:
        _signal.signal(number, _signal.SIG_IGN)
    reader, writer = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
    _signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    _signal.signal(_signal.SIGCHLD, _nothing)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    return reader


def close_inherited() -> None:
    """Closes what the container's runtime may have left open beyond stdin, stdout and stderr."""
    posix.closerange(3, _HIGHEST_FD)


def _nothing(number: int, frame: object) -> None:
    """A handler, so that SIGCHLD reaches the wakeup descriptor."""
