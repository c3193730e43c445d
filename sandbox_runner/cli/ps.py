"""`sandbox-runner ps`: the live runs."""

import argparse
import time
from typing import TYPE_CHECKING

from sandbox_runner.cli.engine import inventories, live_runs
from sandbox_runner.cli.parsing import add_settings
from sandbox_runner.cli.table import emit_table
from sandbox_runner.owner import is_alive

if TYPE_CHECKING:
    from sandbox_runner.engines.live_runs import LiveRun

EXAMPLES = """\
sandbox-runner ps
watch sandbox-runner ps"""
_HEADINGS = ("RUN", "LANGUAGE", "STATE", "AGE", "DEADLINE", "PRINCIPAL", "PROCESS")
_ALIVE = {True: "", False: ", gone: 'sandbox-runner reap' removes the run", None: ", elsewhere"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `ps`."""
    add_settings(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Lists the runs, oldest first. DEADLINE is the time until anyone may remove the container.

    ``pooled`` is a container that a server started ahead: it waits for a run, or has one. ``installing`` is
    one that makes the packages of a run ready.
    """
    with inventories(arguments) as engines:
        runs = live_runs(engines)
    now = time.time()
    emit_table(_HEADINGS, [_row(run, now) for run in runs])
    return 0


def _row(run: "LiveRun", now: float) -> tuple[str, ...]:
    return (
        run.run_id,
        run.language or "-",
        _state(run),
        f"{max(0, now - run.created):.0f}s",
        f"{run.deadline - now:.0f}s" if run.deadline > now else "over",
        run.principal or "-",
        _process(run.owner),
    )


def _state(run: "LiveRun") -> str:
    if run.state == "running" and run.installs:
        return "installing"
    return "pooled" if run.state == "running" and run.ahead else run.state


def _process(owner: str) -> str:
    pid = owner.partition(":")[2].partition(":")[0]
    return pid + _ALIVE[is_alive(owner)]
