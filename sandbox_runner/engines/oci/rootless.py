"""What the embedded engine cannot enforce for a user who is not root, and why: found out by trying.

https://docs.kernel.org/admin-guide/cgroup-v2.html#delegation, newuidmap(1), subuid(5).
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sandbox_runner.engines.oci.cgroups import Hierarchies
from sandbox_runner.engines.oci.users import new_user_namespace

_TRIES_V1 = (
    ("memory", "memory", {"memory.limit_in_bytes": "16777216"}),
    ("swap", "memory", {"memory.limit_in_bytes": "16777216", "memory.memsw.limit_in_bytes": "16777216"}),
    ("cpus", "cpu", {"cpu.cfs_quota_us": "100000"}),
    ("pids", "pids", {"pids.max": "4"}),
    ("devices", "devices", {"devices.deny": "a"}),
)
_NEEDED_V2 = {"memory": "memory", "swap": "memory", "cpus": "cpu", "pids": "pids"}
_MAPPING_TIME = 10  # seconds for newuidmap


@dataclass(frozen=True, slots=True)
class Unenforced:
    """A control that this user cannot enforce, and what stands against it."""

    control: str
    reason: str


def find_unenforced(hierarchies: Hierarchies) -> list[Unenforced]:
    """Every control that is missing here. There is always one: no user but root can count for another."""
    limits = _limits_v2(hierarchies) if hierarchies.unified else _limits_v1(hierarchies)
    apart = Unenforced(
        "inotify, queues and pending signals of each run apart",
        "the kernel counts them for the user that makes the containers",
    )
    return [*limits, *_user_ids(), apart]


def told(unenforced: list[Unenforced]) -> str:
    """All of them in words, those with one reason together."""
    by_reason: dict[str, list[str]] = {}
    for each in unenforced:
        by_reason.setdefault(each.reason, []).append(each.control)
    return "; ".join(f"{', '.join(controls)} ({reason})" for reason, controls in by_reason.items())


def _limits_v1(hierarchies: Hierarchies) -> list[Unenforced]:
    found = []
    for control, controller, files in _TRIES_V1:
        reason = _why_not_limited(hierarchies.by_controller[controller] / _own_cgroup(controller), files)
        found += [Unenforced(control, reason)] if reason else []
    return found


def _why_not_limited(own: Path, files: Mapping[str, str]) -> str:
    """Why this user can make no cgroup in ``own`` with ``files`` written; empty where that is possible."""
    folder = own / f"sandbox-runner-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        return f"this user's processes can make no cgroup: {error.strerror}"
    try:
        return next(
            filter(None, (_why_not_written(folder / name, value) for name, value in files.items())), ""
        )
    finally:
        folder.rmdir()


def _why_not_written(file: Path, value: str) -> str:
    try:
        file.write_text(value)
    except OSError as error:
        return f"{file.name} of its own cgroup cannot be written: {error.strerror}"
    return ""


def _limits_v2(hierarchies: Hierarchies) -> list[Unenforced]:
    (root,) = hierarchies.beside
    own = root / _own_cgroup("")
    if not all(os.access(own / name, os.W_OK) for name in (".", "cgroup.procs", "cgroup.subtree_control")):
        reason = f"the cgroup {own} is not delegated to this user"
        return [Unenforced(control, reason) for control in _NEEDED_V2]
    here = (own / "cgroup.controllers").read_text().split()
    return [
        Unenforced(control, f"the cgroup {own} has no controller {controller}")
        for control, controller in _NEEDED_V2.items()
        if controller not in here
    ]


def _own_cgroup(controller: str) -> str:
    """The path of this process's cgroup below the hierarchy; "" is that of version 2."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path.lstrip("/")
    return ""


def _user_ids() -> list[Unenforced]:
    control = "a user id of its own for each run"
    try:
        with new_user_namespace() as pid:
            reasons = [_why_not_mapped(kind, pid) for kind in ("uid", "gid")]
    except OSError as error:
        return [Unenforced(control, f"this user can make no user namespace: {error.strerror}")]
    return [Unenforced(control, reason) for reason in reasons if reason][:1]


def _why_not_mapped(kind: str, pid: int) -> str:
    """Why root in the namespace of ``pid`` cannot be a subordinate id of this user; empty where it can."""
    first = _first_subordinate_id(Path(f"/etc/sub{kind}"))
    if first is None:
        return f"/etc/sub{kind} gives this user no ids"
    tool = shutil.which(f"new{kind}map")
    if tool is None:
        return f"new{kind}map is not installed"
    command = [tool, str(pid), "0", str(first), "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_MAPPING_TIME, check=False)
    return "" if done.returncode == 0 else f"new{kind}map refuses: {done.stderr.strip()}"


def _first_subordinate_id(file: Path) -> int | None:
    names = {str(os.geteuid())}
    with suppress(KeyError):
        names.add(pwd.getpwuid(os.geteuid()).pw_name)
    with suppress(OSError, ValueError):
        for line in file.read_text().splitlines():
            name, first, _ = line.split(":")
            if name in names:
                return int(first)
    return None
