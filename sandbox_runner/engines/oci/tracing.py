"""Holds the first process of a container by ptrace: at its exec, until it was looked at, and to its end.

In an image without our agent nothing in the container would wait until the host has looked whether every
control holds it. crun installs the seccomp filter in the last moment before the exec, so that moment
it must be. The tracer is also told how the process ended, which else only its parent learns, and that
is whoever adopts what the runtime leaves; and the kernel kills it when the tracer's process ends.
ptrace(2).
"""

import ctypes
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from threading import Thread

from sandbox_runner.errors import ControlNotEnforced, SandboxError, StartFailed

# linux/ptrace.h
_CONT, _SEIZE = 7, 0x4206
_O_TRACEEXEC, _O_EXITKILL = 1 << 4, 1 << 20
_EVENT_EXEC = 4
_WALL = 0x40000000  # linux/wait.h: also what is no child of ours


class Traced:
    """The process ``pid``, which waits to be told to go on: `held` when it is held by a thread of its own.

    ``look`` is called in that thread when it has executed the container's program, of which no
    instruction has run; what it raises kills the process and is raised by whoever waits for ``begun``.
    ``ended`` is the exit code, negative where a signal ended it.
    """

    def __init__(self, pid: int, look: Callable[[], None]) -> None:
        self.held: Future[None] = Future()
        self.begun: Future[None] = Future()
        self.ended: Future[int] = Future()
        self._pid = pid
        self._look = look
        Thread(target=self._run, name="sandbox-runner-trace", daemon=True).start()

    def _run(self) -> None:
        try:
            _ptrace(_SEIZE, self._pid, _O_TRACEEXEC | _O_EXITKILL)
        except OSError as error:
            refusal = _refusal(error)
            for future in (self.held, self.begun, self.ended):
                future.set_exception(refusal)
            return
        self.held.set_result(None)
        self.ended.set_result(self._follow())
        if not self.begun.done():
            self.begun.set_result(None)  # it died before: `ended` tells

    def _follow(self) -> int:
        while True:
            _, status = os.waitpid(self._pid, _WALL)
            if not os.WIFSTOPPED(status):
                return os.waitstatus_to_exitcode(status)
            event = status >> 16
            if event == _EVENT_EXEC and not self.begun.done():
                self._examine()
            # What stopped it is a signal that is still to be delivered, unless it was an event.
            with suppress(ProcessLookupError):
                _ptrace(_CONT, self._pid, 0 if event else os.WSTOPSIG(status))

    def _examine(self) -> None:
        try:
            self._look()
        except (SandboxError, OSError, ValueError) as error:
            os.kill(self._pid, signal.SIGKILL)  # still this process: only its tracer can reap it
            self.begun.set_exception(error)
        else:
            self.begun.set_result(None)


def _refusal(error: OSError) -> SandboxError:
    if isinstance(error, ProcessLookupError):
        return StartFailed("The container ended before its program began; try again.")
    return ControlNotEnforced(
        f"The container's first process cannot be held by ptrace ({error.strerror}), so nothing was run; "
        "allow it (kernel.yama.ptrace_scope below 3), or use the engine docker."
    )


@cache
def _call() -> "ctypes._NamedFuncPointer":
    call = ctypes.CDLL(None, use_errno=True).ptrace
    call.argtypes, call.restype = [ctypes.c_long] * 4, ctypes.c_long
    return call


def _ptrace(request: int, pid: int, data: int) -> None:
    """Raises OSError."""
    if _call()(request, pid, 0, data) == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
