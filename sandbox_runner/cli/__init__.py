"""The command line `sandbox-runner COMMAND …`.

Each command is a module of this package with `EXAMPLES`, `add_arguments(parser)` and
`execute(arguments) -> exit status`. Only the module of the command that was asked for is
imported: a run pays for no other.
"""

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from sandbox_runner.cli.exits import guarded
from sandbox_runner.cli.parsing import parse_command, parse_top

COMMANDS = {
    "setup": "Make this machine ready: an engine, the images, their self-tests.",
    "run": "Run a program in a sealed container of its own.",
    "session": "Run statements at a prompt, in one sealed container that keeps their state.",
    "stdio": "Serve MCP on stdin and stdout, for a client on this machine.",
    "http": "Serve MCP over HTTP, for a team or a machine.",
    "doctor": "Prove on this machine that each promised control holds.",
    "bench": "Measure what runs cost on this machine, beside the bare interpreter and other sandboxes.",
    "ps": "List the live runs of this machine.",
    "kill": "End live runs.",
    "images": "List the images, and whether they are built and current.",
    "packages": "List the packages that runs asked for, with their hashes.",
    "languages": "List the languages that programs may be written in.",
    "reap": "Remove what a crash left behind.",
    "uninstall": "Remove the images and everything else that setup made.",
    "install": "Register the MCP server with a client on this machine.",
    "config": "Show the settings in force and where each comes from.",
    "completion": "Print a completion script for a shell.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line ``argv``, by default the process's own; returns the exit status.

    2: the request or a setting must change; 75: retry later; 125: the engine, or this program;
    130: interrupted. `run` otherwise returns the status of the program it ran.
    """
    return guarded(lambda: _dispatch(list(sys.argv[1:] if argv is None else argv)))


def entry() -> None:
    """The console script: `main`, and the end of the process without the interpreter's own goodbyes.

    A short program has no garbage worth collecting; looking for it and tearing down every module
    would be a seventh of a run.
    """
    gc.disable()
    status = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # a closed one is None
            stream.flush()
    os._exit(status)


def _dispatch(words: list[str]) -> int:
    try:
        if not words or words[0] not in COMMANDS:
            parse_top(COMMANDS, words)
        command, arguments = parse_command(words[0], COMMANDS[words[0]], words[1:])
    except SystemExit as end:  # what was asked for has been printed
        return int(end.code or 0)
    return command.execute(arguments)
