"""`sandbox-runner uninstall`: removes what setup made."""

import argparse

from sandbox_runner.cli.consent import can_ask, consents
from sandbox_runner.cli.exits import emit
from sandbox_runner.cli.parsing import add_settings, settings
from sandbox_runner.cli.progress import shown_progress
from sandbox_runner.cli.setup import connector
from sandbox_runner.config import load_config
from sandbox_runner.errors import InvalidRequest
from sandbox_runner.places import state_folder

EXAMPLES = """\
sandbox-runner uninstall
sandbox-runner uninstall --yes && pip uninstall sandbox-runner"""
_QUESTION = "Remove sandbox-runner's images, and the engine and packages that setup installed, if any."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `uninstall`."""
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_settings(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Asks, removes, and says what had to stay; returns 1 where the answer was no."""
    config = load_config(flags=settings(arguments)).config
    if not arguments.yes and not can_ask():
        raise InvalidRequest("uninstall asks before it removes, and nobody can answer here; give --yes.")
    if not arguments.yes and not consents(_QUESTION, yes=False):
        emit("Nothing was removed.")
        return 1
    from sandbox_runner.provision import uninstall  # noqa: PLC0415 - loads the SDK
    from sandbox_runner.provision.turns import one_at_a_time  # noqa: PLC0415 - with what needs it

    with shown_progress() as display, one_at_a_time(state_folder(), display.report):
        left = uninstall.uninstall(connector(config), folder=state_folder(), report=display.report)
    emit("\n".join(left) or "Everything that setup made is removed.")
    return 0
