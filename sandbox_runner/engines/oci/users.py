"""A user namespace for each container: root in there is nobody on this machine. user_namespaces(7).

It maps two ids: the run's own, to itself, and root, which a runtime needs, to one that nobody has.
A namespace belongs to the effective user that makes it, and what its processes use of inotify, queues
and pending signals counts for that user, too (kernel/ucount.c). So each is made as the id that its own
root has outside: were all of them root's, one run could use up what the machine's services need.
"""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

from sandbox_runner.engines.oci.runtime import Runtime
from sandbox_runner.user_ids import FIRST

ROOT_BASE = 0x70000000
"""A container's root is this plus the run's user id: systemd, shadow and POSIX accounts leave it unused.

https://systemd.io/UIDS-GIDS/
"""
_SETRESUID = {"x86_64": 117, "aarch64": 147}
_KEPT = -1
_NEWUSER, _VM, _VFORK = 0x10000000, 0x100, 0x4000  # sched.h
_ANY_CHILD = 0x40000000  # __WALL of wait(2): one that sends no signal when it ends
_STACK = 16 * 1024
_SIG_BLOCK, _SIG_SETMASK, _SIGNALS = 0, 2, 128  # signal.h; the bytes of a set of signals
_GET_DUMPABLE, _SET_DUMPABLE = 3, 4  # sys/prctl.h
_CAPABILITIES_V3 = 0x20080522  # linux/capability.h
_SYS_RESOURCE = 1 << 24
_EMPTY_BY_NATURE = ("/proc/sys/fs/binfmt_misc", "/proc/fs/nfsd")  # a mount there hides nothing


def mappings(uid: int) -> list[dict[str, int]]:
    """The ids of a container whose run has ``uid``, in the runtime specification's words."""
    return [
        {"containerID": 0, "hostID": ROOT_BASE + uid, "size": 1},
        {"containerID": uid, "hostID": uid, "size": 1},
    ]


def make_user_namespace(uid: int, gid: int) -> int:
    """A descriptor of a new user namespace for a run with these ids, which lasts with it. Raises OSError."""
    with new_user_namespace(owner=ROOT_BASE + uid) as pid:
        for kind, number in (("uid", uid), ("gid", gid)):
            Path(f"/proc/{pid}/{kind}_map").write_bytes(_lines(mappings(number)))
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def new_user_namespace(*, owner: int | None = None) -> Iterator[int]:
    """The id of a process that has ended, in a new user namespace that maps nothing yet. Raises OSError.

    ``owner`` is the user that makes it, where that is not to be this process's.
    """
    pid = _ended_child(owner)
    try:
        yield pid
    finally:
        os.waitpid(pid, _ANY_CHILD)


def maps_as_asked(pid: int, uid: int, gid: int) -> bool:
    """Whether the process ``pid`` is in a user namespace that maps just what a run with these ids needs."""
    wanted = {"uid": uid, "gid": gid}
    return all(
        Path(f"/proc/{pid}/{kind}_map").read_bytes().split() == _lines(mappings(number)).split()
        for kind, number in wanted.items()
    )


def why_none(runtime: Runtime) -> str | None:
    """Why containers can have no user namespace here; None where they can."""
    if runtime.has_sentry:
        return "under runsc a program meets no kernel but gVisor's"
    hidden = _hidden_parts_of_proc()
    if hidden:
        return f"a container could not mount its /proc, as something is mounted on {hidden}"
    if not runtime.limits_from_inside and not _has_capability(_SYS_RESOURCE):
        return f"{runtime.name} would need the capability CAP_SYS_RESOURCE to set a container's limits"
    try:
        with new_user_namespace(owner=ROOT_BASE + FIRST):
            return None
    except OSError as error:
        return f"the kernel makes none: {error.strerror}"


def _lines(mapped: list[dict[str, int]]) -> bytes:
    return "".join(f"{each['containerID']} {each['hostID']} {each['size']}\n" for each in mapped).encode()


@cache
def _libc() -> Any:  # noqa: ANN401 - ctypes.CDLL is no type of calls
    return ctypes.CDLL(None, use_errno=True)  # which takes 0.1 ms


def _ended_child(owner: int | None) -> int:
    """It waits to be waited for.

    It never runs more than _exit(2), so it can share the memory of this one: a fork would copy its tables.
    """
    libc = _libc()
    stack = ctypes.create_string_buffer(_STACK)
    top = ctypes.c_void_p(ctypes.addressof(stack) + _STACK & ~15)
    with _no_signals(libc), nullcontext() if owner is None else _effective_user(libc, owner):
        return _checked(libc.clone(libc._exit, top, _NEWUSER | _VM | _VFORK, None))


@contextmanager
def _no_signals(libc: Any) -> Iterator[None]:  # noqa: ANN401 - ctypes.CDLL is no type of calls
    """A handler of this process must not run in the child. `signal` takes 0.1 ms to name all of them."""
    before = ctypes.create_string_buffer(_SIGNALS)
    libc.pthread_sigmask(_SIG_BLOCK, b"\xff" * _SIGNALS, before)
    try:
        yield
    finally:
        libc.pthread_sigmask(_SIG_SETMASK, before, None)


@contextmanager
def _effective_user(libc: Any, uid: int) -> Iterator[None]:  # noqa: ANN401 - as above
    """The calling thread alone acts as ``uid``, and keeps its capabilities: some machines ask for them."""
    dumpable = libc.prctl(_GET_DUMPABLE, 0, 0, 0, 0)
    _set_effective_user(libc, uid)
    try:
        _use_permitted_capabilities(libc)
        yield
    finally:
        _set_effective_user(libc, 0)
        libc.prctl(_SET_DUMPABLE, dumpable, 0, 0, 0)  # the kernel takes it away where a user changes


def _set_effective_user(libc: Any, uid: int) -> None:  # noqa: ANN401 - as above
    # The library's own setresuid changes every thread.
    call = _SETRESUID.get(platform.machine(), -1)
    _checked(libc.syscall(*map(ctypes.c_long, (call, _KEPT, uid, _KEPT))))


def _use_permitted_capabilities(libc: Any) -> None:  # noqa: ANN401 - as above
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable of the first 32, then of the others
    _checked(libc.capget(header, sets))
    sets[0], sets[3] = sets[1], sets[4]
    _checked(libc.capset(header, sets))


def _checked(result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _hidden_parts_of_proc() -> str:
    """The kernel shows a new user namespace no more of /proc than its maker sees: mount_too_revealing."""
    mounts = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    hidden = (path for path in mounts if path.startswith("/proc/") and path not in _EMPTY_BY_NATURE)
    return next(hidden, "")


def _has_capability(bit: int) -> bool:
    lines = Path("/proc/thread-self/status").read_text().splitlines()
    effective = next(line.split()[1] for line in lines if line.startswith("CapEff:"))
    return bool(int(effective, 16) & bit)
