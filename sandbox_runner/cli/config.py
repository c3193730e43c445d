"""`sandbox-runner config`: the settings in force."""

import argparse

from sandbox_runner.cli.exits import emit
from sandbox_runner.cli.parsing import add_settings, settings
from sandbox_runner.cli.table import emit_table
from sandbox_runner.config import format_setting, load_config, settings_table

EXAMPLES = """\
sandbox-runner config
SANDBOX_RUNNER_MEMORY=1g sandbox-runner config
sandbox-runner config --set max_wall_time=3600"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `config`."""
    add_settings(parser)
    # For whoever edits the README.
    parser.add_argument("--table", action="store_true", help=argparse.SUPPRESS)


def execute(arguments: argparse.Namespace) -> int:
    """Shows each setting, its value as a file would have it, and its source."""
    if arguments.table:
        emit(settings_table())
        return 0
    effective = load_config(flags=settings(arguments))
    rows = [
        (name, format_setting(name, getattr(effective.config, name)), source)
        for name, source in effective.sources.items()
    ]
    emit_table(("SETTING", "VALUE", "SOURCE"), rows)
    return 0
