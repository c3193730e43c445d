"""What enforces each control, by OCI runtime: what the doctor shows, README prints and tests compare.

The runtimes of the host's kernel, crun and runc, are alike in this; runsc has the kernel of gVisor between.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox_runner.engines.gvisor import NAME as RUNSC

NAMESPACE = "a namespace of the kernel"
MOUNT = "a mount of the kernel"
CREDENTIALS = "the kernel's credentials"
FILTER = "the kernel's seccomp filter"
CGROUP = "a control group of the kernel"
RLIMIT = "an rlimit of the kernel"
SENTRY = "gVisor's kernel"
SENTRY_FILTER = "the seccomp filter of gVisor's kernel"
SENTRY_RLIMIT = "an rlimit of gVisor's kernel"
AGENT = "our agent"
RUNNER = "this program"
NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Enforcer:
    """What holds a control under a runtime. ``note``: what is less than promised, and why it may be."""

    by: str
    note: str = ""


_Pair = tuple[Enforcer, Enforcer]  # with crun and runc; with runsc


def _both(by: str) -> _Pair:
    return Enforcer(by), Enforcer(by)


def _each(kernel: str, sentry: str = SENTRY, note: str = "") -> _Pair:
    return Enforcer(kernel), Enforcer(sentry, note)


_NO_COUNT = (
    "gVisor counts no files. They are kept in the run's memory, whose limit ends a run that makes too many"
)
_OPEN_AGENT = (
    "gVisor opens PID 1's descriptors to a program of the same user. With them it can garble or "
    "forge what it reports of itself, which nothing trusts, and reach nothing of another run"
)
_ENFORCERS: Mapping[str, _Pair] = {
    "net.none/interfaces": _each(NAMESPACE, f"{SENTRY}, which has no network"),
    "net.none/routes": _each(NAMESPACE, f"{SENTRY}, which has no network"),
    "net.none/packets": _each(NAMESPACE, f"{SENTRY}, which has no network"),
    "net.none/names": _each(NAMESPACE, f"{SENTRY}, which has no network"),
    "fs.root.read_only/root": _each(MOUNT),
    "fs.root.read_only/places": _each(MOUNT),
    "fs.root.read_only/host": _each(MOUNT),
    "fs.root.read_only/sizes": _each(MOUNT),
    "proc.no_privilege/user": _each(CREDENTIALS),
    "proc.no_privilege/capabilities": _each(CREDENTIALS),
    "proc.no_privilege/setuid": _each(CREDENTIALS),
    "proc.no_privilege/seccomp": _each(FILTER, SENTRY_FILTER),
    "proc.no_privilege/unshare": _each(FILTER, SENTRY_FILTER),
    "proc.no_privilege/ptrace": _each(FILTER, SENTRY_FILTER),
    "proc.no_privilege/kernel": _each(FILTER, SENTRY_FILTER),
    "proc.no_privilege/sockets": _each(FILTER, SENTRY_FILTER),
    "proc.no_privilege/pid": _each(NAMESPACE),
    "proc.no_privilege/ipc": _each(NAMESPACE),
    "proc.no_privilege/uts": _each(NAMESPACE),
    "proc.no_privilege/cgroup": _each(NAMESPACE),
    "proc.no_privilege/devices": _each(MOUNT),
    "proc.no_privilege/masked": _each(MOUNT),
    "proc.no_privilege/settings": _each(MOUNT),
    "proc.no_privilege/agent": _each(CREDENTIALS, NOTHING, _OPEN_AGENT),
    "res/open_files": _each(RLIMIT, SENTRY_RLIMIT),
    "res/process": _each(RLIMIT, SENTRY_RLIMIT),
    "res/swap": _both(CGROUP),
    "res/cores": _both(CGROUP),
    "res/wall_time": _both(AGENT),
    "res/cpu_time": _both(AGENT),
    "res/memory": _both(CGROUP),
    "res/pids": _each(CGROUP, SENTRY_RLIMIT),
    "res/disk": _each(MOUNT),
    "res/inodes": _each(MOUNT, CGROUP, _NO_COUNT),
    "res/output": _both(AGENT),
    "out.bounded/capture": _both(RUNNER),
    "life.single_use/files": _both(RUNNER),
    "life.no_leak/runs": _both(RUNNER),
    "life.no_leak/killed_owner": _both(RUNNER),
}
CONTROLS = frozenset(_ENFORCERS)
RUNTIMES = ("crun", "runc", RUNSC)


def enforcer(control: str, runtime: str) -> Enforcer:
    """What enforces ``control`` under ``runtime``. Raises KeyError where there is no such control."""
    of_kernel, of_sentry = _ENFORCERS[control]
    return of_sentry if runtime == RUNSC else of_kernel


def table() -> str:
    """The whole, as Markdown."""
    rows = [
        f"| {control} | {of_kernel.by} | {_cell(of_sentry)} |"
        for control, (of_kernel, of_sentry) in _ENFORCERS.items()
    ]
    return "\n".join(("| control | crun, runc | runsc |", "|---|---|---|", *rows))


def _cell(one: Enforcer) -> str:
    return f"{one.by}. {one.note}." if one.note else one.by
