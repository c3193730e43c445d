"""The host's own look at a started container: what a runtime dropped is found out before a job runs.

proc(5), /proc/PID/status. What a runtime says it did counts for nothing here.
"""

import os

from sandbox_runner.engines.oci.users import maps_as_asked
from sandbox_runner.errors import ControlNotEnforced
from sandbox_runner.spec import ContainerSpec

_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
_MUCH = 1 << 16  # bytes: more than any of these files of proc has
_NAMESPACES = ("pid", "net", "ipc", "uts", "mnt", "cgroup")


def is_in_cgroup(pid: int, path: str) -> bool:
    """Whether the process ``pid`` is in a cgroup at ``path``: an id may mean another process by now."""
    try:
        lines = _read(f"/proc/{pid}/cgroup").splitlines()
    except OSError:
        return False
    return any(line.endswith(f":/{path}") for line in lines)


def user_of(pid: int) -> int:
    """The user id that the process ``pid`` has on this machine. Raises OSError."""
    return int(_status(pid)["Uid"][1])


def require_controls(
    pid: int, spec: ContainerSpec, path: str, *, limited: tuple[str, ...], users: bool
) -> None:
    """Raises ControlNotEnforced where PID 1 is not confined as ``spec`` says.

    ``limited`` are the cgroup controllers that must hold it at ``path``; "" is version 2.
    ``users`` tells whether it must have a user namespace of its own.
    """
    status = _status(pid)
    wanted = {
        "Uid": [str(spec.uid)] * 4,
        "Gid": [str(spec.gid)] * 4,
        "Groups": [],
        "NoNewPrivs": ["1"],
        "Seccomp": ["2"],
    }
    wrong = [name for name, words in wanted.items() if status.get(name) != words]
    wrong += [name for name in _CAPABILITIES if int(status.get(name, ["1"])[0], 16) != 0]
    held = _cgroups(pid)
    wrong += [f"cgroup {name}".strip() for name in limited if held.get(name) != f"/{path}"]
    wrong += _shared_namespaces(pid, (*_NAMESPACES, "user") if users else _NAMESPACES)
    wrong += ["id mappings"] if users and not maps_as_asked(pid, spec.uid, spec.gid) else []
    if wrong:
        raise ControlNotEnforced(
            f"The runtime did not apply {', '.join(wrong)}, so nothing was run; use another oci_runtime."
        )


def _status(pid: int) -> dict[str, list[str]]:
    lines = _read(f"/proc/{pid}/status").splitlines()
    return {name: words.split() for name, _, words in (line.partition(":") for line in lines)}


def _cgroups(pid: int) -> dict[str, str]:
    held = {}
    for line in _read(f"/proc/{pid}/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        held.update(dict.fromkeys(controllers.split(","), path))
    return held


def _shared_namespaces(pid: int, names: tuple[str, ...]) -> list[str]:
    return [f"namespace {name}" for name in names if _namespace("self", name) == _namespace(pid, name)]


def _namespace(pid: int | str, name: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{name}")  # noqa: PTH115 - each start does it 14 times


def _read(file: str) -> str:
    # Three calls where Path.read_text makes eight.
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _MUCH).decode(errors="replace")
    finally:
        os.close(descriptor)
