"""A container of runsc as the host sees it: the sentry, the process that is its kernel.

The program is no process of the host, so what confines it is told by the sentry's own confinement, by the
arguments that it runs with, and by the settings that it took, which are in runsc's record of it.
"""

import json
from pathlib import Path
from typing import Any

from sandbox_runner.engines import gvisor
from sandbox_runner.engines.oci.bundles import Bundle
from sandbox_runner.engines.oci.evidence import is_in_cgroup
from sandbox_runner.engines.oci.runtime import Runtime
from sandbox_runner.errors import ControlNotEnforced
from sandbox_runner.spec import ContainerSpec

Json = dict[str, Any]

_NAMESPACES = ("user", "net", "ipc", "uts", "mnt")


def adapt(config: Json) -> None:
    """Writes into a bundle's ``config`` what runsc would read otherwise."""
    section = config["linux"]["seccomp"]
    section["syscalls"] = gvisor.guest_rules(section["syscalls"])


def require_controls(pid: int, spec: ContainerSpec, path: str, runtime: Runtime, bundle: Bundle) -> None:
    """Raises ControlNotEnforced where the sentry ``pid`` is not confined, or does not confine, as ``spec`` says.

    ``path`` is that of the container's cgroups.
    """
    try:
        gvisor.require_flags(_flags(pid, spec.name, runtime))
        state = json.loads(bundle.sentry_state()[0].read_bytes())
        wrong = [*_host_side(pid, int(state["goferPid"]), path), *_inside(state["spec"], spec)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ControlNotEnforced(
            f"It cannot be found out what runsc enforces ({error!r}), so nothing was run; use another oci_runtime."
        ) from error
    if wrong:
        raise ControlNotEnforced(
            f"runsc did not apply {', '.join(wrong)}, so nothing was run; use another oci_runtime."
        )


def _flags(pid: int, name: str, runtime: Runtime) -> dict[str, str]:
    """Those that the sentry of the container ``name`` runs with. Raises ValueError where it is none."""
    words = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    is_ours = Path(f"/proc/{pid}/exe").samefile(runtime.path)
    if not is_ours or words[0] != "runsc-sandbox" or words[-1] != name:
        raise ValueError(f"process {pid} is not its sentry")
    return gvisor.parse_flags(words[1:])


def _host_side(pid: int, helper: int, path: str) -> list[str]:
    status = _status(pid)
    wanted = {"NoNewPrivs": ["1"], "Seccomp": ["2"]}
    wrong = [f"{name} of the sentry" for name, words in wanted.items() if status.get(name) != words]
    wrong += ["a user of its own" for ids in ("Uid", "Gid") if "0" in status.get(ids, ["0"])]
    wrong += [f"cgroups of process {each}" for each in (pid, helper) if not is_in_cgroup(each, path)]
    ours, theirs = Path("/proc/self/ns"), Path(f"/proc/{pid}/ns")
    wrong += [
        f"namespace {name}" for name in _NAMESPACES if (ours / name).readlink() == (theirs / name).readlink()
    ]
    return wrong


def _inside(taken: Json, spec: ContainerSpec) -> list[str]:
    process = taken["process"]
    user, filters = process["user"], taken["linux"].get("seccomp") or {}
    limits = {each["type"]: each["hard"] for each in process["rlimits"]}
    wanted = {
        "Uid": user.get("uid") == spec.uid,
        "Gid": user.get("gid") == spec.gid,
        "Groups": not user.get("additionalGids"),
        "NoNewPrivs": process.get("noNewPrivileges") is True,
        "CapBnd": not any(process["capabilities"].values()),
        "Seccomp": filters.get("defaultAction") == "SCMP_ACT_ERRNO",
        "the read-only root": taken["root"].get("readonly") is True,
        **{f"the limit {each.name}": limits.get(f"RLIMIT_{each.name.upper()}") == each.hard for each in spec.rlimits},
    }
    return [name for name, held in wanted.items() if not held]


def _status(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: words.split() for name, _, words in (line.partition(":") for line in lines)}
