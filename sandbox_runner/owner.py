"""Who owns a container: this process, told so that another process can see whether it still lives.

``owner`` is machine:pid:start. The machine part is the kernel's boot id where there is one, so
that a process id of before a reboot, or of another host on a shared daemon, is never taken for ours.
"""

import os
import socket
import sys
from pathlib import Path


def current_owner() -> str:
    """The mark of this process."""
    pid = os.getpid()
    return f"{_machine()}:{pid}:{_start_time(pid)}"


def is_alive(owner: str) -> bool | None:
    """Whether the process that ``owner`` marks lives; None where this machine cannot tell."""
    machine, _, process = owner.partition(":")
    pid, _, start = process.partition(":")
    if machine != _machine() or not pid.isdigit():
        return None
    return _start_time(int(pid)) == start


def _machine() -> str:
    if sys.platform == "linux":
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + _pid_namespace()
    return socket.gethostname().replace(":", "-")


def _pid_namespace() -> str:
    # In a container process ids mean something else than on the host with the same boot id.
    return "/" + str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")


def _start_time(pid: int) -> str:
    """The process's start in the system's own unit, or nothing where there is no such process."""
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return ""
        fields = stat.rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    import psutil  # noqa: PLC0415 - elsewhere it is not needed for this

    try:
        return str(int(psutil.Process(pid).create_time()))
    except psutil.Error:
        return ""
