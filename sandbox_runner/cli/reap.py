"""`sandbox-runner reap`: removes what a crash left behind."""

import argparse

from sandbox_runner.cli.engine import inventories
from sandbox_runner.cli.exits import emit, one_line
from sandbox_runner.cli.parsing import add_settings

EXAMPLES = "sandbox-runner reap"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `reap`."""
    add_settings(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Removes the containers of ours that no living process owns, and says which they were."""
    with inventories(arguments) as engines:
        removed = [run for engine in engines for run in engine.reap()]
    for run in removed:
        emit(one_line(f"removed run {run.run_id} ({run.language or 'command'}, {run.state})"))
    if not removed:
        emit("Nothing was left behind.")
    return 0
