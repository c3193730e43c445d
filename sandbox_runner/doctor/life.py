"""Whether containers are left behind: by the doctor's own runs, and by an owner that was killed."""

import json
import secrets
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from functools import partial
from subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING, TypeVar

import anyio

from sandbox_runner.config import Config
from sandbox_runner.doctor.finding import Finding
from sandbox_runner.engines.docker.calls import Caller
from sandbox_runner.engines.docker.inventory import list_runs, remove_runs
from sandbox_runner.engines.live_runs import LiveRun
from sandbox_runner.errors import EngineError

if TYPE_CHECKING:
    from docker import APIClient

T = TypeVar("T")

OWNER = (sys.executable, "-m", "sandbox_runner.doctor.owner")
REMOVAL_TIME = 5  # seconds: promised after a kill -9 of the owner
START_TIME = 20  # seconds for the owner to have its containers
_LOOK = 0.05  # seconds between two looks at what the engine lists


async def find_left(client: "APIClient", instance: str) -> Finding:
    """Whether a container of the runner ``instance`` is left. Raises nothing."""
    try:
        left = await _asked(client, lambda: list_runs(client, instance=instance))
        await _asked(client, lambda: remove_runs(client, left))
    except EngineError as error:
        return life_finding("life.no_leak/runs", "unknown", str(error), "Make the engine answer first.")
    if left:
        return life_finding(
            "life.no_leak/runs", "failed", _listed(left), "Report it as a bug; run: sandbox-runner reap"
        )
    return life_finding("life.no_leak/runs", "ok", "no container is left of the runs above")


async def find_left_by_killed_owner(
    client: "APIClient", config: Config, *, command: Sequence[str] = OWNER
) -> Finding:
    """Whether anything is left of a process that is killed with a container running and one created.

    ``command`` starts that process, which reads what `owner.main` reads. Raises nothing.
    """
    instance = secrets.token_hex(8)
    control = "life.no_leak/killed_owner"
    try:
        look = partial(_asked, client, lambda: list_runs(client, instance=instance))
        before = await kill_owner(config, command, instance, look)
        left = await _wait_until_gone(client, instance)
        await _asked(client, lambda: remove_runs(client, left))
    except (EngineError, OSError, TimeoutError) as error:
        reason = str(error) or f"the process had no containers after {START_TIME} s"
        return life_finding(control, "unknown", reason, "The probe could not run; look into that first.")
    if before != ["created", "running"]:
        reason = f"the process had these containers: {', '.join(before) or 'none'}"
        return life_finding(control, "unknown", reason, "The probe could not run; look into that first.")
    if left:
        remedy = "Nothing must end the watchdog, a child process of the runner's; run: sandbox-runner reap"
        return life_finding(control, "failed", _listed(left), remedy)
    return life_finding(control, "ok", f"all gone within {REMOVAL_TIME} s")


async def kill_owner(
    config: Config, command: Sequence[str], instance: str, look: Callable[[], Awaitable[list[LiveRun]]]
) -> list[str]:
    """The states of the containers that the process had when it was killed; ``look`` lists them.

    Raises what ``look`` raises, OSError, and TimeoutError where the process has none in time.
    """
    process = await anyio.open_process(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with anyio.fail_after(START_TIME):
            await process.stdin.send(told_to_owner(config, instance))
            await process.stdout.receive(1)
            return sorted(run.state for run in await look())
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return []
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()


async def _wait_until_gone(client: "APIClient", instance: str) -> list[LiveRun]:
    left: list[LiveRun] = []
    with anyio.move_on_after(REMOVAL_TIME):
        while left := await _asked(client, lambda: list_runs(client, instance=instance)):  # noqa: ASYNC110 - the engine tells nobody
            await anyio.sleep(_LOOK)
    return left


async def _asked(client: "APIClient", call: Callable[[], T]) -> T:
    return await Caller(client.base_url)(call)


def _listed(runs: Sequence[LiveRun]) -> str:
    return "left: " + ", ".join(f"{run.container_id[:12]} ({run.state})" for run in runs)


def told_to_owner(config: Config, instance: str) -> bytes:
    """The line that `owner.main` reads."""
    return json.dumps({"instance": instance, "config": asdict(config)}).encode() + b"\n"


def life_finding(control: str, status: str, evidence: str, remedy: str = "") -> Finding:
    """A finding on one of the two controls here."""
    promises = {
        "life.no_leak/runs": "No container outlives its run.",
        "life.no_leak/killed_owner": "No container outlives a killed owner by more than 5 seconds.",
    }
    return Finding(
        control=control,
        promise=promises[control],
        status=status,  # type: ignore[arg-type]  # one of three words above
        evidence=evidence,
        remedy=remedy,
    )
