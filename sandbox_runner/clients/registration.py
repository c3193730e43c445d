"""Registering this server with a client, and taking it out again."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sandbox_runner.clients.command import ServerCommand
from sandbox_runner.clients.definitions import Client, Surroundings
from sandbox_runner.clients.documents import server_in, with_server, without_server
from sandbox_runner.clients.reasons import Unsuitable
from sandbox_runner.clients.storage import decoded, read_file, replace_file, target_of
from sandbox_runner.errors import InvalidRequest

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what every client takes
State = Literal["added", "updated", "removed", "present", "absent"]


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of the configuration at ``path``.

    ``before`` is the entry that was there, if any, and ``backup`` the copy of the file if it was changed.
    """

    state: State
    path: Path
    before: object | None
    backup: Path | None


def snippet(client: Client, name: str, server: ServerCommand) -> str:
    """A whole configuration of ``client`` that has this one server."""
    return with_server("", client, checked_name(name), server)


def register(client: Client, at: Surroundings, name: str, server: ServerCommand) -> Registered:
    """Puts ``server`` into the client's configuration as ``name``.

    Raises InvalidRequest, and leaves the file as it is, where the client is not installed or the file
    cannot be read, understood or written.
    """
    checked_name(name)
    if not any(sign.exists() for sign in client.signs(at)):
        raise InvalidRequest(
            f"{client.title} does not seem to be installed: {client.signs(at)[-1]} does not exist. "
            f"Start it once, or see what it needs: sandbox-runner install {client.name} --print"
        )
    return _edited(client, at, name, lambda text: with_server(text, client, name, server))


def unregister(client: Client, at: Surroundings, name: str) -> Registered:
    """Takes the server ``name`` out of the client's configuration. Raises InvalidRequest as `register`."""
    checked_name(name)
    return _edited(client, at, name, lambda text: without_server(text, client, name))


def checked_name(name: str) -> str:
    """``name``, where every client takes it. Raises InvalidRequest."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"--name is {name!r}; give 1 to 64 letters, digits, '-' or '_'.")
    return name


def _edited(client: Client, at: Surroundings, name: str, edit: Callable[[str], str]) -> Registered:
    path = target_of(client.file(at))
    try:
        data = read_file(path)
        mark, text = decoded(data or b"")
        before = server_in(text, client, name)
        new = edit(text)
        if new == text:
            return Registered("absent" if before is None else "present", path, before, None)
        backup = replace_file(path, data, (mark + new).encode())
        after = server_in(new, client, name)
    except Unsuitable as reason:
        raise InvalidRequest(
            f"{path} {reason}; it was left as it is. Mend that, or edit it by hand; "
            f"what it needs is shown by: sandbox-runner install {client.name} --print"
        ) from None
    state: State = "removed" if after is None else "added" if before is None else "updated"
    return Registered(state, path, before, backup)
