"""`sandbox-runner install`: registers the server with a client on this machine."""

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_runner.cli.engine import connected
from sandbox_runner.cli.exits import emit, one_line
from sandbox_runner.cli.parsing import add_settings, settings
from sandbox_runner.clients.definitions import CLIENTS, Client, Surroundings
from sandbox_runner.config import load_config
from sandbox_runner.definitions import image_tag, is_current
from sandbox_runner.errors import SandboxError
from sandbox_runner.hardening import COMMAND_IMAGE
from sandbox_runner.languages import images_of

if TYPE_CHECKING:
    from sandbox_runner.clients.registration import Registered

EXAMPLES = """\
sandbox-runner install claude-desktop
sandbox-runner install cursor --set memory=1g --set wall_time=50
sandbox-runner install codex --print
sandbox-runner install vscode --remove"""
_STATES = {
    "added": "is registered in",
    "updated": "is updated in",
    "removed": "is removed from",
    "present": "is already registered in",
    "absent": "is not registered in",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `install`."""
    parser.add_argument(
        "client",
        choices=list(CLIENTS),
        help="a client that has run here once; its configuration of this user is edited, and a copy kept",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--print", action="store_true", help="print a whole configuration instead; nothing is changed"
    )
    what.add_argument("--remove", action="store_true", help="take the server out of the configuration")
    parser.add_argument(
        "--name", default="sandbox-runner", help="the name that the client knows the server by"
    )
    add_settings(parser, whose="the server that is registered")


def execute(arguments: argparse.Namespace) -> int:
    """Registers or removes the server, or prints what would be registered."""
    from sandbox_runner.clients.command import server_command  # noqa: PLC0415 - the parser needs the table alone
    from sandbox_runner.clients.registration import register, snippet, unregister  # noqa: PLC0415 - as above

    client, name, flags = CLIENTS[arguments.client], arguments.name, settings(arguments)
    at = Surroundings(sys.platform, Path.home(), os.environ)
    if arguments.remove:
        _tell(client, name, unregister(client, at, name))
        return 0
    load_config(flags=flags)  # a server that refuses its settings would not start
    server = server_command(flags)
    if arguments.print:
        emit(snippet(client, name, server).rstrip("\n"))
        return 0
    _tell(client, name, register(client, at, name, server))
    if not _is_ready(arguments):
        emit("Before its first use run: sandbox-runner setup")
    return 0


def _tell(client: Client, name: str, done: "Registered") -> None:
    emit(f"{name} {_STATES[done.state]} {client.title}: {done.path}")
    if done.state == "updated":
        emit(f"It was: {_command_of(done.before)}")
    if done.backup:
        emit(f"The file as it was: {done.backup}")
    if done.state in ("added", "updated"):
        emit(client.after)


def _command_of(entry: object) -> str:
    """The command of an entry, without its variables, whose values may be secrets."""
    if not isinstance(entry, dict) or not isinstance(entry.get("command"), str):
        return "no command"
    args = entry.get("args")
    return one_line(shlex.join([entry["command"], *(map(str, args) if isinstance(args, list) else ())]))


def _is_ready(arguments: argparse.Namespace) -> bool:
    """Whether an engine answers and has the images that setup makes ready, of this version."""
    wanted = images_of(load_config(flags=settings(arguments)).config.languages) | {COMMAND_IMAGE}
    try:
        with connected(arguments) as client:
            images = [client.inspect_image(image_tag(name)) for name in sorted(wanted)]
    except SandboxError:
        return False
    return all(is_current((image.get("Config") or {}).get("Labels") or {}) for image in images)
