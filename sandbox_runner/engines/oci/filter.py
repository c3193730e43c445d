"""A seccomp profile of ours, in Docker's format, as the OCI runtime specification has it.

https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp. Docker resolves
what depends on the machine before it hands a profile to a runtime; here that is done by us.
"""

import json
import platform
from collections.abc import Mapping
from functools import cache
from typing import Any

from sandbox_runner.errors import ControlNotEnforced
from sandbox_runner.seccomp import load_profile

Json = dict[str, Any]

# uname's machine: libseccomp's name, and the one that a profile's conditions use (Go's).
_MACHINES = {"x86_64": ("SCMP_ARCH_X86_64", "amd64"), "aarch64": ("SCMP_ARCH_AARCH64", "arm64")}
_CONDITIONS = frozenset({"arches", "caps", "minKernel"})


@cache
def seccomp_section(name: str) -> Json:
    """The section ``linux.seccomp`` for the profile ``name`` on this machine, where nobody has capabilities.

    Raises NotPermitted or ControlNotEnforced where the profile cannot be had or applied.
    """
    profile = json.loads(load_profile(name))
    library_name, arch = _machine(name, profile)
    rules = [_rule(rule) for rule in profile["syscalls"] if _applies(rule, arch, _kernel())]
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
        "architectures": [library_name],
        "syscalls": rules,
    }


def _machine(name: str, profile: Json) -> tuple[str, str]:
    library_name, arch = _MACHINES.get(platform.machine(), ("", ""))
    if library_name not in (entry["architecture"] for entry in profile["archMap"]):
        raise ControlNotEnforced(
            f"The seccomp profile {name!r} is not made for {platform.machine()}, so nothing was run."
        )
    return library_name, arch


def _rule(rule: Json) -> Json:
    kept: Json = {key: rule[key] for key in ("names", "action", "errnoRet") if key in rule}
    if rule.get("args"):
        kept["args"] = [{"valueTwo": 0, **argument} for argument in rule["args"]]
    return kept


def _applies(rule: Json, arch: str, kernel: tuple[int, ...]) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if not includes.keys() | excludes.keys() <= _CONDITIONS:
        raise ControlNotEnforced(
            "A seccomp profile has a condition that this version does not know, so nothing was run."
        )
    return _included(includes, arch, kernel) and not _excluded(excludes, arch, kernel)


def _included(includes: Mapping[str, Any], arch: str, kernel: tuple[int, ...]) -> bool:
    arches = includes.get("arches")
    newest = includes.get("minKernel")
    return (
        (not arches or arch in arches)
        and not includes.get("caps")
        and (not newest or kernel >= _numbers(newest))
    )


def _excluded(excludes: Mapping[str, Any], arch: str, kernel: tuple[int, ...]) -> bool:
    newest = excludes.get("minKernel")
    return arch in excludes.get("arches", ()) or bool(newest and kernel >= _numbers(newest))


def _kernel() -> tuple[int, ...]:
    return _numbers(platform.release())


def _numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of a kernel's version."""
    parts = version.split("-")[0].split(".")[:2]
    return tuple(int(part) for part in parts if part.isdigit())
