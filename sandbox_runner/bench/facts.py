"""What the figures depend on: the machine, and the versions of all that took part."""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import psutil

from sandbox_runner import __version__
from sandbox_runner.bench.llm_sandbox import llm_sandbox_version
from sandbox_runner.engines.oci.runtime import KNOWN

Fact = str | int | float | None
_ANSWER_TIME = 20  # seconds
_CGROUPS = Path("/sys/fs/cgroup")


def machine_facts() -> dict[str, Fact]:
    """Times are UTC, ``memory`` bytes, ``load_before`` the load of the minute before; None: not there."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "sandbox_runner": __version__,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "cgroup": _cgroup(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **_versions(),
    }


def _versions() -> Mapping[str, Fact]:
    commands: dict[str, tuple[str, ...]] = {name: (name, "--version") for name in (*KNOWN, "bwrap")}
    commands["docker"] = ("docker", "version", "--format", "{{.Server.Version}}")
    found: dict[str, Fact] = {name: _first_line(*command) for name, command in commands.items()}
    return {**found, "llm-sandbox": llm_sandbox_version()}


def _first_line(program: str, *arguments: str) -> str | None:
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        return None
    try:
        ran = subprocess.run(
            [path, *arguments], capture_output=True, text=True, timeout=_ANSWER_TIME, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return ran.stdout.strip().splitlines()[0] if ran.stdout.strip() else None


def _processor() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _cgroup() -> str | None:
    """The version of control groups that limits containers."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return "2"
    return "1" if _CGROUPS.is_dir() else None
