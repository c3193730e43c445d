"""A container of runsc on a daemon: what it is told, and this machine's look at what came of it."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker import errors as docker_errors

from sandbox_runner.engines import gvisor
from sandbox_runner.engines.sentry import SentryUnseen, has_ended, not_applied, require_sentry, unknown
from sandbox_runner.spec import ContainerSpec

if TYPE_CHECKING:
    from docker import APIClient

Json = dict[str, Any]

_CGROUPS = Path("/sys/fs/cgroup")
_SECCOMP = "seccomp="
# Each limit by its file on version 1, with its controller's folder, and on version 2.
_FILES = {
    "memory": ("memory/{}/memory.limit_in_bytes", "{}/memory.max"),
    "swap": ("memory/{}/memory.memsw.limit_in_bytes", "{}/memory.swap.max"),
    "pids": ("pids/{}/pids.max", "{}/pids.max"),
    "cpus": ("cpu/{}/cpu.cfs_quota_us", "{}/cpu.max"),
}
_CONTROLLERS = {"memory": "memory", "swap": "memory", "pids": "pids", "cpus": "cpu"}


def adapt(body: Json) -> Json:
    """``body`` with its seccomp profile as runsc has to be told it."""
    host = body["HostConfig"]
    return {**body, "HostConfig": {**host, "SecurityOpt": [_adapted(each) for each in host["SecurityOpt"]]}}


def _adapted(option: str) -> str:
    if not option.startswith(_SECCOMP):
        return option
    profile = json.loads(option.removeprefix(_SECCOMP))
    return _SECCOMP + json.dumps({**profile, "syscalls": gvisor.guest_rules(profile["syscalls"])})


def require_held(client: "APIClient", container: str, spec: ContainerSpec) -> int | None:
    """The sentry of a started container. Raises ControlNotEnforced where it is not held as ``spec`` says.

    For a daemon of this machine. None for one that ended by itself: it is left to whoever waits for it.
    """
    try:
        state = client.inspect_container(container)["State"]
    except docker_errors.NotFound:
        return None
    if not state["Running"]:
        return None
    pid = int(state["Pid"])
    try:
        _require_limited_sentry(pid, container, spec)
    except SentryUnseen:
        if has_ended(pid):  # before the daemon knows
            return None
        raise
    return pid


def _require_limited_sentry(pid: int, container: str, spec: ContainerSpec) -> None:
    require_sentry(pid, container)
    try:
        wrong = _missing_limits(pid, spec)
    except (OSError, ValueError, KeyError) as error:
        raise unknown(repr(error)) from error
    if wrong:
        raise not_applied(wrong)


def memory_folder(pid: int) -> Path | None:
    """The version 1 cgroup that limits the memory of ``pid``; None where there is none, or no ``pid``."""
    with suppress(OSError, KeyError):
        return _CGROUPS / "memory" / _cgroups(pid)["memory"]
    return None


def _missing_limits(pid: int, spec: ContainerSpec) -> list[str]:
    limits = gvisor.on_host(spec.limits)
    page = os.sysconf("SC_PAGE_SIZE")
    memory = str(limits.memory // page * page)
    wanted = {
        "memory": {memory},
        "swap": {memory, "0"},
        "pids": {str(limits.pids)},
    }  # version 2 counts it apart
    wrong = [f"the limit of {name}" for name, values in wanted.items() if _read(pid, name)[0] not in values]
    quota, *period = _read(pid, "cpus")
    cores = int(quota) / int(period[0] if period else _read_period(pid))
    return wrong if abs(cores - limits.cpus) < 0.01 else [*wrong, "the limit of cpus"]


def _read(pid: int, limit: str) -> list[str]:
    return _file(pid, _CONTROLLERS[limit], _FILES[limit]).read_text().split()


def _read_period(pid: int) -> str:
    return _file(pid, "cpu", ("cpu/{}/cpu.cfs_period_us", "")).read_text()


def _file(pid: int, controller: str, patterns: tuple[str, str]) -> Path:
    """The file of the control group of ``pid`` with ``controller``. Raises KeyError where it is in none."""
    held = _cgroups(pid)
    version_1, version_2 = patterns
    if controller in held:
        return _CGROUPS / version_1.format(held[controller])
    return _CGROUPS / version_2.format(held[""])


def _cgroups(pid: int) -> dict[str, str]:
    """The path of the control group of ``pid`` by controller; that of version 2 by an empty name."""
    held = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        held.update(dict.fromkeys(controllers.split(","), path.strip("/")))
    return held
