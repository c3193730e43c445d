"""A container of runsc on the embedded engine: what it is told, and the host's look at what came of it.

The program is no process of the host. What confines it is told by the sentry's own confinement, by the
arguments that it runs with, and by the settings that it took, which are in runsc's record of it.
"""

import json
from typing import Any

from sandbox_runner.engines import gvisor
from sandbox_runner.engines.oci.bundles import Bundle
from sandbox_runner.engines.oci.evidence import is_in_cgroup, user_of
from sandbox_runner.engines.oci.runtime import Runtime
from sandbox_runner.engines.sentry import not_applied, require_sentry, unknown
from sandbox_runner.spec import ContainerSpec

Json = dict[str, Any]


def adapt(config: Json) -> None:
    """Writes into a bundle's ``config`` what runsc would read otherwise."""
    section = config["linux"].get("seccomp")
    if section is not None:  # where it is missing, `require_controls` refuses
        config["linux"]["seccomp"] = {**section, "syscalls": gvisor.guest_rules(section["syscalls"])}


def require_controls(pid: int, spec: ContainerSpec, path: str, runtime: Runtime, bundle: Bundle) -> None:
    """Raises ControlNotEnforced where the sentry ``pid`` is not held, or does not hold, as ``spec`` says.

    ``path`` is that of the container's cgroups.
    """
    require_sentry(pid, spec.name, runtime.path)
    try:
        state = json.loads(bundle.sentry_state()[0].read_bytes())
        wrong = [*_outside(pid, int(state["goferPid"]), path), *_inside(state["spec"], spec)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise unknown(repr(error)) from error
    if wrong:
        raise not_applied(wrong)


def _outside(pid: int, gofer: int, path: str) -> list[str]:
    """``gofer`` is the process that opens files for the sentry."""
    wrong = [f"the cgroups to process {each}" for each in (pid, gofer) if not is_in_cgroup(each, path)]
    return [*wrong, "another user than root to the sentry"] if user_of(pid) == 0 else wrong


def _inside(taken: Json, spec: ContainerSpec) -> list[str]:
    """What is missing in the settings that runsc took."""
    process, filters = taken["process"], taken["linux"].get("seccomp") or {}
    limits = {each["type"]: each["hard"] for each in process["rlimits"]}
    held = {
        "Uid": process["user"].get("uid") == spec.uid,
        "Gid": process["user"].get("gid") == spec.gid,
        "Groups": not process["user"].get("additionalGids"),
        "NoNewPrivs": process.get("noNewPrivileges") is True,
        "CapBnd": not any(process["capabilities"].values()),
        "Seccomp": filters.get("defaultAction") == "SCMP_ACT_ERRNO",
        "the read-only root": taken["root"].get("readonly") is True,
    }
    held |= {
        f"the limit {each.name}": limits[f"RLIMIT_{each.name.upper()}"] == each.hard for each in spec.rlimits
    }
    return [name for name, is_held in held.items() if not is_held]
