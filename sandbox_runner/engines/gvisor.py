"""What gVisor's runsc needs to be told, and how it is told from its arguments what it enforces.

runsc runs a program under a kernel of its own, the sentry, which is a process of the host. So what the
host sees of a container is the sentry: its control group and its arguments. https://gvisor.dev/docs/
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from sandbox_runner.errors import ControlNotEnforced
from sandbox_runner.spec import ContainerSpec, ResolvedLimits, Rlimit

NAME = "runsc"
NEEDED = ("--network=none", "--oci-seccomp")
"""What runsc does not do unless it is told: no network, and a seccomp filter inside."""

_ENOSYS = 38
_OTHER_NAMES = {"pselect6": "pselect"}  # what runsc of 2022 calls it; PID 1 waits by it
# Host threads: those of the sentry and its helper, and of the platform. Measured per process inside:
# 2.1 with systrap, 5.5 with ptrace.
_SENTRY_THREADS, _THREADS_PER_PROCESS = 64, 8

# Flags that change nothing about what holds a program. One that is not here is refused.
_HARMLESS = frozenset({
    "root", "platform", "platform_device_path", "systemd-cgroup", "directfs", "dcache", "fdlimit",
    "debug", "debug-log", "debug-log-fd", "debug-log-format", "debug-command", "log", "log-fd", "log-format",
    "alsologtostderr", "panic-log", "panic-log-fd", "watchdog-action", "traceback", "ref-leak-mode",
    "cpu-num-from-quota", "file-access", "file-access-mounts", "app-huge-pages", "cgroupfs",
    "buffer-pooling", "fuse", "lisafs", "vfs2", "qdisc", "gso", "software-gso", "rx-checksum-offload",
    "tx-checksum-offload", "num-network-channels", "network-processors-per-channel",
})  # fmt: skip
# Flags with the values that they may have.
_ONLY = {
    "network": {"none"},
    "oci-seccomp": {"true"},
    "ignore-cgroups": {"false"},
    "rootless": {"false"},
    "net-raw": {"false"},
    "allow-flag-override": {"false"},
    "host-uds": {"none"},
    "host-fifo": {"none"},
    "fsgofer-host-uds": {"false"},
    "overlay": {"false"},
    "overlay2": {"none", "root:self", "root:memory", "all:memory", "all:self"},
    "profile": {"false"},
    "strace": {"false"},
}
_CONTROL_OF = {
    "network": "net.none",
    "net-raw": "net.none",
    "oci-seccomp": "seccomp inside the container",
    "ignore-cgroups": "the limits of memory, cpus and pids (cgroups)",
    "rootless": "the limits of memory, cpus and pids (cgroups)",
}


def is_gvisor(path: str) -> bool:
    """Whether the runtime at ``path`` is runsc, or its containerd shim."""
    return PurePath(path).name in (NAME, "containerd-shim-runsc-v1")


def parse_flags(arguments: Iterable[str]) -> dict[str, str]:
    """The flags before runsc's command, each with its value: "true" where none is given."""
    flags = {}
    for argument in arguments:
        if not argument.startswith("-"):
            break
        name, has_value, value = argument.lstrip("-").partition("=")
        flags[name] = value if has_value else "true"
    return flags


def require_flags(flags: Mapping[str, str]) -> None:
    """Raises ControlNotEnforced, naming the control, where runsc with ``flags`` leaves one out."""
    for flag in NEEDED:
        name, _, value = flag.lstrip("-").partition("=")
        if flags.get(name, "").lower() not in (value or "true", "1"):
            raise _not_enforced(_CONTROL_OF[name], f"it needs {flag}")
    for name, value in flags.items():
        allowed = _ONLY.get(name)
        if name not in _HARMLESS and (allowed is None or value.lower() not in allowed):
            control = _CONTROL_OF.get(name, "every control")
            raise _not_enforced(control, f"it must not have --{name}={value}")


def _not_enforced(control: str, reason: str) -> ControlNotEnforced:
    return ControlNotEnforced(
        f"The runtime runsc does not enforce {control} as it is registered: {reason}. Nothing was run; "
        f"register it with the arguments {' '.join(NEEDED)} only, or change oci_runtime."
    )


def for_sentry(spec: ContainerSpec) -> ContainerSpec:
    """``spec`` with its limit of processes where the sentry holds it exactly.

    In the control group the sentry's own threads count, too, and where they meet the limit all ends.
    """
    processes = spec.limits.pids
    return replace(
        spec,
        rlimits=(*spec.rlimits, Rlimit("nproc", processes, processes)),
        limits=on_host(spec.limits),
    )


def on_host(limits: ResolvedLimits) -> ResolvedLimits:
    """``limits`` for the control group that the sentry is in: a program cannot get above them."""
    return replace(limits, pids=_SENTRY_THREADS + _THREADS_PER_PROCESS * limits.pids)


def guest_rules(rules: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rules of a seccomp profile as runsc has to be told them.

    runsc before 2026 answers EPERM whatever errno a rule has, and then no thread starts: libraries fall back
    from clone3 on ENOSYS only. A call that is to be traced and has no tracer is answered with that
    (seccomp(2)), and there is none: the profiles refuse ptrace.
    """
    return [_guest_rule(rule) for rule in rules]


def _guest_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    names = [*rule["names"], *(_OTHER_NAMES[name] for name in rule["names"] if name in _OTHER_NAMES)]
    told = {**rule, "names": names}
    if rule["action"] == "SCMP_ACT_ERRNO" and rule.get("errnoRet") == _ENOSYS:
        told["action"] = "SCMP_ACT_TRACE"
        del told["errnoRet"]
    return told
