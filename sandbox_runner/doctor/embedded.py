"""What the doctor asks of the embedded engine beside the probes: what is left behind, and its runtime."""

import os
import re
import secrets
import subprocess
from collections.abc import AsyncIterator, Sequence
from functools import partial

import anyio
from anyio import to_thread

from sandbox_runner.config import Config
from sandbox_runner.doctor.finding import Finding
from sandbox_runner.doctor.host import judge_host, read_facts
from sandbox_runner.doctor.life import OWNER, REMOVAL_TIME, START_TIME, kill_owner, life_finding
from sandbox_runner.engines.live_runs import LiveRun
from sandbox_runner.engines.oci.cgroups import find_hierarchies
from sandbox_runner.engines.oci.inventory import list_runs, remove_runs
from sandbox_runner.engines.oci.runtime import Runtime, find_runtime
from sandbox_runner.engines.oci.users import why_none
from sandbox_runner.errors import EngineError

_LOOK = 0.05  # seconds between two looks
_VERSION_TIME = 10  # seconds for a runtime to tell its version
_USERS = "host/user_namespace"
_UNPROBED = "The probe could not run; look into that first."


async def examine_embedded(config: Config, *, instance: str) -> AsyncIterator[Finding]:
    """As `examine_life`, for the engine oci. Raises nothing."""
    left = await to_thread.run_sync(lambda: list_runs(instance=instance))
    yield _left("life.no_leak/runs", left, "no container is left of the runs above")
    yield await find_left_by_killed_owner(config)
    for finding in await to_thread.run_sync(_judge_machine, config):
        yield finding


async def find_left_by_killed_owner(config: Config, *, command: Sequence[str] = OWNER) -> Finding:
    """Whether anything is left of a process that is killed with a container running. Raises nothing.

    ``command`` starts that process, which reads what `owner.main` reads.
    """
    control, instance = "life.no_leak/killed_owner", secrets.token_hex(8)
    try:
        look = partial(to_thread.run_sync, lambda: list_runs(instance=instance))
        before = await kill_owner(config, command, instance, look)
    except (OSError, TimeoutError) as error:
        reason = str(error) or f"the process had no container after {START_TIME} s"
        return life_finding(control, "unknown", reason, _UNPROBED)
    if before != ["running"]:
        reason = f"the process had these containers: {', '.join(before) or 'none'}"
        return life_finding(control, "unknown", reason, _UNPROBED)
    left: list[LiveRun] = []
    with anyio.move_on_after(REMOVAL_TIME):
        while left := list_runs(instance=instance):  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(_LOOK)
    await to_thread.run_sync(remove_runs, left)
    return _left(control, left, f"all gone within {REMOVAL_TIME} s")


def _left(control: str, left: Sequence[LiveRun], good: str) -> Finding:
    if not left:
        return life_finding(control, "ok", good)
    names = ", ".join(f"{run.run_id} ({run.state})" for run in left)
    return life_finding(control, "failed", f"left: {names}", "run: sandbox-runner reap")


def _judge_machine(config: Config) -> list[Finding]:
    """The runtime's version and the machine's, in the words in which a Docker engine tells them."""
    try:
        hierarchies = find_hierarchies()
        runtime = find_runtime(config.oci_runtime, unified=hierarchies.unified)
    except EngineError:
        return []
    component = {"Name": runtime.name, "Version": _version(runtime.path)}
    info = {
        "KernelVersion": os.uname().release,
        "CgroupVersion": "2" if hierarchies.unified else "1",
        "SwapLimit": True,  # a run is refused where its limit cannot be set
    }
    findings = judge_host(read_facts({"Components": [component]}, info))
    others = [each for each in findings if each.control not in ("host/containerd", _USERS)]
    return [*others, _judge_users(runtime)]


def _judge_users(runtime: Runtime) -> Finding:
    missing = why_none(runtime)
    return Finding(
        control=_USERS,
        promise="Root in a container is not root of the machine.",
        status="warning" if missing else "ok",
        evidence=missing or "each container has a user namespace of its own, in which root is nobody outside",
        remedy="Change that; require_user_namespace refuses runs where it comes back." if missing else "",
    )


def _version(path: str) -> str:
    told = subprocess.run(
        [path, "--version"], capture_output=True, text=True, timeout=_VERSION_TIME, check=False
    )
    found = re.search(r"version (\S+)", told.stdout)
    return found[1] if found else "not told"
