"""A ContainerSpec as a bundle's config.json: every field explicit, nothing inherited.

https://github.com/opencontainers/runtime-spec/blob/main/config.md. The cgroups are those that
`cgroups` made: they are written here, too, for a runtime that applies them itself.
"""

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sandbox_runner.engines.oci.filter import seccomp_section
from sandbox_runner.engines.oci.users import mappings
from sandbox_runner.spec import ContainerSpec, Rlimit, Tmpfs

Json = dict[str, Any]

CPU_PERIOD = 100_000  # microseconds, the kernel's default
_NO_FILTER = '"seccomp":null'  # in no string, where the quotes would have a backslash
_NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")
_CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")
_DEVICES = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2))  # null zero full random urandom tty ptmx


def bundle_config(
    spec: ContainerSpec,
    *,
    rootfs: Path,
    cgroup: str,
    counters: Mapping[str, Path],
    annotations: Mapping[str, str],
    users: str | None,
) -> Json:
    """The content of config.json.

    ``cgroup`` is the container's path below each hierarchy; ``counters`` are the folders of its
    own counters, by name below /sys/fs/cgroup: empty where the runtime is to mount its view.
    ``users`` is the path of its user namespace, None where it has none.
    Raises NotPermitted or ControlNotEnforced where the seccomp profile cannot be had.
    """
    return {
        "ociVersion": "1.0.0",
        "process": _process(spec),
        "root": {"path": str(rootfs), "readonly": spec.read_only_root},
        "hostname": spec.hostname,
        "mounts": [
            *_MOUNTS,
            _terminals(users),
            _shm(spec.shm_size),
            *_counters(counters),
            *map(_tmpfs, spec.tmpfs),
        ],
        "hooks": {},
        "annotations": {**spec.labels, **annotations},
        "linux": {
            **_namespaces(spec, users),
            "devices": [],
            "cgroupsPath": f"/{cgroup}",
            "resources": resources(spec),
            "seccomp": seccomp_section(spec.seccomp),
            "rootfsPropagation": "private",
            "maskedPaths": _present(spec.masked_paths),
            "readonlyPaths": list(spec.readonly_paths),
            "sysctl": {},
        },
    }


def in_words(config: Json, profile: str) -> str:
    """The text of config.json. The filter of ``profile``, the most of it, is put in words once."""
    linux = config["linux"]
    if linux.get("seccomp") is not seccomp_section(profile):  # it was changed since
        return _compact(config)
    text = _compact({**config, "linux": {**linux, "seccomp": None}})
    return text.replace(_NO_FILTER, f'"seccomp":{_filter_in_words(profile)}', 1)


@cache
def _filter_in_words(profile: str) -> str:
    return _compact(seccomp_section(profile))


def _compact(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"))


def _process(spec: ContainerSpec) -> Json:
    return {
        "terminal": False,
        "user": {"uid": spec.uid, "gid": spec.gid, "umask": 0o022, "additionalGids": []},
        "args": list(spec.argv),
        "env": [f"{name}={value}" for name, value in spec.env.items()],
        "cwd": spec.cwd,
        "capabilities": {name: list(spec.capabilities) for name in _CAPABILITY_SETS},
        "rlimits": [_rlimit(rlimit) for rlimit in spec.rlimits],
        "noNewPrivileges": spec.no_new_privileges,
        "oomScoreAdj": spec.oom_score_adj,
    }


@cache
def _present(paths: tuple[str, ...]) -> list[str]:
    """Those that this kernel has: a runtime tries each of the others, too, and passes over it."""
    return [path for path in paths if os.path.lexists(path)]


def resources(spec: ContainerSpec) -> Json:
    """The cgroup limits, in the runtime specification's words."""
    limits = spec.limits
    return {
        "devices": [
            {"allow": False, "access": "rwm"},
            # "m" is for the runtime, which makes them from inside; the program has no capability to.
            *({"allow": True, "type": "c", "major": n, "minor": m, "access": "rwm"} for n, m in _DEVICES),
            {"allow": True, "type": "c", "major": 136, "access": "rw"},  # the terminals of its own devpts
        ],
        "memory": {"limit": limits.memory, "swap": limits.memory, "disableOOMKiller": False},
        "cpu": {"quota": round(limits.cpus * CPU_PERIOD), "period": CPU_PERIOD},
        "pids": {"limit": limits.pids},
    }


def _mount(destination: str, kind: str, *options: str) -> Json:
    return {"destination": destination, "type": kind, "source": kind, "options": list(options)}


_SEALED = ("nosuid", "noexec", "nodev")
_MOUNTS = (
    _mount("/proc", "proc", *_SEALED),
    _mount("/dev", "tmpfs", "nosuid", "noexec", "strictatime", "mode=755", "size=64k", "nr_inodes=1024"),
    _mount("/dev/mqueue", "mqueue", *_SEALED),
    _mount("/sys", "sysfs", *_SEALED, "ro"),
)


def _namespaces(spec: ContainerSpec, users: str | None) -> Json:
    new = [{"type": name} for name in _NAMESPACES]
    if users is None:
        return {"namespaces": new}
    return {
        "namespaces": [{"type": "user", "path": users}, *new],
        # Those that it has already: a runtime wants to be told.
        "uidMappings": mappings(spec.uid),
        "gidMappings": mappings(spec.gid),
    }


def _terminals(users: str | None) -> Json:
    group = ["gid=5"] if users is None else []  # that group is not mapped: a terminal has its user's
    options = ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", *group)
    return _mount("/dev/pts", "devpts", *options)


def _shm(size: int) -> Json:
    return _mount("/dev/shm", "tmpfs", *_SEALED, "mode=1777", f"size={size}")  # noqa: S108 - the container's


def _counters(counters: Mapping[str, Path]) -> list[Json]:
    if not counters:
        return [_mount("/sys/fs/cgroup", "cgroup", *_SEALED, "relatime", "ro")]
    root = _mount("/sys/fs/cgroup", "tmpfs", *_SEALED, "mode=755", "size=64k", "nr_inodes=64", "ro")
    binds = (
        {
            "destination": f"/sys/fs/cgroup/{name}",
            "type": "bind",
            "source": str(folder),
            "options": ["bind", *_SEALED, "ro"],
        }
        for name, folder in counters.items()
    )
    return [root, *binds]


def _tmpfs(mount: Tmpfs) -> Json:
    return _mount(mount.path, "tmpfs", *mount.options())


def _rlimit(rlimit: Rlimit) -> Json:
    return {"type": f"RLIMIT_{rlimit.name.upper()}", "soft": rlimit.soft, "hard": rlimit.hard}
