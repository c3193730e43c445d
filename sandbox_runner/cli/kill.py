"""`sandbox-runner kill`: ends live runs."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sandbox_runner.cli.engine import inventories, live_runs
from sandbox_runner.cli.exits import emit
from sandbox_runner.cli.parsing import add_settings
from sandbox_runner.errors import EngineError, InvalidRequest

if TYPE_CHECKING:
    from sandbox_runner.engines.live_runs import LiveRun

EXAMPLES = """\
sandbox-runner kill 3f2a9c0d5b7e1a48
sandbox-runner kill --all"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `kill`."""
    parser.add_argument(
        "run_ids", metavar="RUN", nargs="*", help="a run's id, as 'sandbox-runner ps' shows it"
    )
    parser.add_argument("--all", action="store_true", help="every live run, whoever started it")
    add_settings(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Ends the runs and prints their ids."""
    if bool(arguments.run_ids) == arguments.all:
        raise InvalidRequest("give the ids of runs, or --all; 'sandbox-runner ps' lists them.")
    with inventories(arguments) as engines:
        runs = live_runs(engines)
        chosen = runs if arguments.all else _choose(runs, arguments.run_ids)
        for engine in engines:
            engine.remove_runs(run for run in engine.list_runs() if run in chosen)
        left = {run.container_id for run in live_runs(engines)}.intersection(
            run.container_id for run in chosen
        )
    for run in chosen:
        if run.container_id not in left:
            emit(run.run_id)
    if left:
        raise EngineError(f"The engine could not remove {len(left)} of the runs; try again, or restart it.")
    return 0


def _choose(runs: Sequence["LiveRun"], run_ids: Sequence[str]) -> list["LiveRun"]:
    unknown = set(run_ids) - {run.run_id for run in runs}
    if unknown:
        ids = ", ".join(sorted(unknown))
        raise InvalidRequest(f"no live run is called {ids}; 'sandbox-runner ps' lists them. None was ended.")
    return [run for run in runs if run.run_id in run_ids]
