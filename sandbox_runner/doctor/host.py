"""What the engine and the machine should have beside the controls: warnings, never failures.

Distributions repair old versions without raising their number, so a version below a floor tells
nothing for sure.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sandbox_runner.doctor.finding import Finding

Version = tuple[int, ...]

# The first repaired release of each line that was repaired; a line in between is not.
FLOORS: Mapping[str, tuple[str, Sequence[Version], str]] = {
    "Engine": (
        "Docker Engine",
        ((29, 5, 1),),
        "CVE-2026-41567, CVE-2026-41568, CVE-2026-42306, CVE-2026-34040",
    ),
    "runc": ("runc", ((1, 3, 6), (1, 4, 3), (1, 5, 0)), "CVE-2026-41579 and those of 2025"),
    "crun": ("crun", ((1, 28),), "CVE-2026-47766, CVE-2026-30892"),
}
_KERNEL = "CVE-2026-31431, CVE-2026-43284 and CVE-2026-43500"
_BACKPORTS = (
    "Distributions backport repairs without changing the version: check your vendor's notes, or update"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What an engine tells of itself. ``options`` are the names of its security options."""

    components: Mapping[str, str]
    kernel: str
    cgroup: str
    options: frozenset[str]
    swap_limit: bool


def read_facts(version: Mapping[str, object], info: Mapping[str, object]) -> HostFacts:
    """The facts in the engine's answers to /version and /info."""
    parts = version.get("Components")
    named = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    options = info.get("SecurityOptions")
    words = options if isinstance(options, list) else []
    return HostFacts(
        components={str(part.get("Name")): str(part.get("Version")) for part in named},
        kernel=str(info.get("KernelVersion", "")),
        cgroup=str(info.get("CgroupVersion", "")),
        options=frozenset(str(word).partition("name=")[2].partition(",")[0] for word in words),
        swap_limit=bool(info.get("SwapLimit")),
    )


def judge_host(facts: HostFacts) -> list[Finding]:
    """A finding for each fact; none of them fails. Pure."""
    return [
        *(_version(name, facts.components[name]) for name in FLOORS if name in facts.components),
        _containerd(facts),
        _fact(
            "kernel",
            "The kernel's version; whether it is repaired its vendor's notes tell.",
            True,
            f"{facts.kernel or 'unknown'}; the number does not tell whether {_KERNEL} are repaired",
        ),
        _fact(
            "cgroup",
            "Control groups are of version 2.",
            facts.cgroup == "2",
            f"version {facts.cgroup or 'unknown'}",
            "Boot with systemd.unified_cgroup_hierarchy=1; version 1 is going away.",
        ),
        _fact(
            "user_namespace",
            "Root in a container is not root of the machine.",
            bool(facts.options & {"rootless", "userns"}),
            "rootless or userns-remap"
            if facts.options & {"rootless", "userns"}
            else "neither rootless nor userns-remap",
            "Use rootless Docker, or set userns-remap in the engine's configuration.",
        ),
        _fact(
            "lsm",
            "AppArmor or SELinux confines containers beside seccomp.",
            bool(facts.options & {"apparmor", "selinux"}),
            ", ".join(sorted(facts.options & {"apparmor", "selinux"})) or "the engine uses neither",
            "Enable AppArmor or SELinux on the engine's machine.",
        ),
        _fact(
            "swap_accounting",
            "The kernel can limit swap.",
            facts.swap_limit,
            "it can" if facts.swap_limit else "it cannot",
            "Boot with swapaccount=1, or switch swap off.",
        ),
    ]


def is_repaired(version: str, floors: Sequence[Version]) -> bool | None:
    """Whether ``version`` is at or above the floor of its line; None where it is no version."""
    match = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version)
    if match is None:
        return None
    number = tuple(int(part or 0) for part in match.groups())
    if number >= floors[-1]:
        return True
    return any(number[:2] == floor[:2] and number >= floor for floor in floors)


def _version(name: str, version: str) -> Finding:
    title, floors, reason = FLOORS[name]
    wanted = " or ".join(".".join(map(str, floor)) for floor in floors)
    return _fact(
        name.lower(),
        f"{title} has the repairs known to this version.",
        is_repaired(version, floors) is True,
        f"{version}; {wanted} repairs {reason}",
        f"{_BACKPORTS} to {title} {wanted} or newer.",
    )


def _containerd(facts: HostFacts) -> Finding:
    version = facts.components.get("containerd", "not told")
    return _fact(
        "containerd",
        "containerd's version; the newest of its line is best.",
        True,
        f"{version}; compare it with your vendor's",
    )


def _fact(control: str, promise: str, good: bool, evidence: str, remedy: str = "") -> Finding:
    return Finding(
        control=f"host/{control}",
        promise=promise,
        status="ok" if good else "warning",
        evidence=evidence,
        remedy="" if good else remedy,
    )
