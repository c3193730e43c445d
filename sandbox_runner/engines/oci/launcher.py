"""The thread that starts containers.

A process inherits the cgroups and the mount namespace of the thread that starts it. So there is a
thread for just that: nothing else of this process is ever moved.
"""

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import anyio

from sandbox_runner.engines.oci import cgroups
from sandbox_runner.errors import StartFailed

T = TypeVar("T")

_NEWNS = 0x00020000  # sched.h
_MS_REC, _MS_SLAVE = 1 << 14, 1 << 19  # sys/mount.h
_MNT_DETACH = 2
_UNIFIED = b"/sys/fs/cgroup/unified"
_CLEAN = {signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Launcher:
    """Makes calls in its thread, one after the other."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="sandbox-runner-oci")

    async def __call__(self, call: Callable[[], T]) -> T:
        """``call()``. A cancellation waits for it, as what it began must be known."""
        future = asyncio.wrap_future(self._executor.submit(call))
        with anyio.CancelScope(shield=True):
            await asyncio.wait((future,))
        return future.result()

    def close(self) -> None:
        """Ends the thread when its last call has returned."""
        self._executor.shutdown(wait=False)


def hide_unified() -> None:
    """Takes the mount of cgroup version 2 away from the calling thread, and from what it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.unshare(_NEWNS))
    _checked(libc.mount(b"none", b"/", None, _MS_REC | _MS_SLAVE, None))
    _checked(libc.umount2(_UNIFIED, _MNT_DETACH))


def _checked(result: int) -> None:
    if result != 0:
        reason = os.strerror(ctypes.get_errno())
        raise StartFailed(f"crun cannot be used on this machine ({reason}); set oci_runtime to runc.")


def start(
    program: str,
    argv: list[str],
    *,
    stdio: tuple[int, int, int],
    hierarchies: cgroups.Hierarchies,
    joined: str | None,
) -> int:
    """Starts ``program`` as ``argv`` in a session of its own, in the cgroups at ``joined``; its process id.

    ``stdio`` are its stdin, stdout and stderr. Raises OSError.
    """
    actions = [(os.POSIX_SPAWN_DUP2, source, target) for target, source in enumerate(stdio)]
    if joined is not None:
        cgroups.enter(hierarchies, joined)
    try:
        return os.posix_spawn(
            program,
            argv,
            {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=_CLEAN,
        )
    finally:
        if joined is not None:
            cgroups.enter(hierarchies, joined.rpartition("/")[0])
