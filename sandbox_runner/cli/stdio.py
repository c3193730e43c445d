"""`sandbox-runner stdio`: the MCP server for a client on this machine."""

import argparse
import asyncio
import gc
import os
import sys
import traceback
from typing import NoReturn

from sandbox_runner.cli.exits import say
from sandbox_runner.cli.parsing import add_settings, settings
from sandbox_runner.cli.signals import ending_signals
from sandbox_runner.config import Config, load_config

EXAMPLES = """\
sandbox-runner stdio
sandbox-runner stdio --set max_wall_time=120 --set max_memory=1g
uvx sandbox-runner stdio"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `stdio`."""
    add_settings(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Serves MCP on stdin and stdout until stdin ends."""
    config = load_config(flags=settings(arguments)).config
    if sys.stdin is None or sys.stdout is None:
        say("stdin and stdout must be open: an MCP client talks through them.")
        return 2
    if sys.stdin.isatty():
        say("waiting for an MCP client on stdin; to register in one: sandbox-runner install --help")
    gc.enable()  # the console script turns it off, for programs that end soon
    return asyncio.run(_serve(config))


async def _serve(config: Config) -> int:
    import anyio  # noqa: PLC0415 - with the server

    from sandbox_runner.server.stdio import serve  # noqa: PLC0415 - importing mcp takes over half a second

    with ending_signals() as ending:
        stop = anyio.Event()
        ending.cancel_run = stop.set

        def leave() -> NoReturn:
            os._exit(0 if ending.signal is None else 128 + ending.signal)

        task = asyncio.current_task()
        assert task is not None
        try:
            with ending.ends(task):
                await serve(config, stop=stop, leave=leave)
        except asyncio.CancelledError:
            leave()  # asked for once more, or it took too long: what is left is the watchdog's
        except BaseException:  # noqa: BLE001 - a thread that reads stdin would keep the process
            traceback.print_exc()
            os._exit(1)
    return 0
