"""A client's configuration as text: one server put into it or taken out, everything else as it was.

An edit is checked by reading the result: what differs from what was meant is not returned.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from sandbox_runner.clients import json_text, toml_text
from sandbox_runner.clients.command import ServerCommand
from sandbox_runner.clients.definitions import Client
from sandbox_runner.clients.reasons import UNSAFE, Unsuitable

Entry = Mapping[str, Any]


class Language(Protocol):
    """Reads and edits text of one syntax. ``put`` and ``drop`` are told the list's key and the server's name.

    Each raises Unsuitable for what it cannot read or edit.
    """

    def load(self, text: str) -> Any: ...  # noqa: ANN401 - whatever the file holds

    def put(self, text: str, key: str, name: str, entry: Entry) -> str: ...

    def drop(self, text: str, key: str, name: str) -> str: ...


def with_server(text: str, client: Client, name: str, server: ServerCommand) -> str:
    """``text`` with ``server`` registered as ``name``; the same text where it already is.

    What else an entry of that name holds stays, such as a variable that the user added. Raises
    Unsuitable where ``text`` is not a configuration, or cannot be edited without harm.
    """
    language, servers, document = _read(text, client)
    entry = _merged(servers.get(name), _entry(client, server))
    if servers.get(name) == entry:
        return text
    expected = {**document, client.servers: {**servers, name: entry}}
    return _checked(language, language.put(text, client.servers, name, entry), expected)


def without_server(text: str, client: Client, name: str) -> str:
    """``text`` without the server ``name``; the same text where there is none. Raises as `with_server`."""
    language, servers, document = _read(text, client)
    if name not in servers:
        return text
    left = {key: value for key, value in servers.items() if key != name}
    return _checked(language, language.drop(text, client.servers, name), {**document, client.servers: left})


def server_in(text: str, client: Client, name: str) -> object | None:
    """The entry ``name``, whatever it is; None where there is none. Raises Unsuitable."""
    return _read(text, client)[1].get(name)


def _read(text: str, client: Client) -> tuple[Language, dict[str, Any], dict[str, Any]]:
    language: Language = (
        toml_text.TomlText()
        if client.syntax == "toml"
        else json_text.JsonText(comments=client.syntax == "jsonc")
    )
    document = language.load(text) if text.strip() else {}
    if not isinstance(document, dict):
        raise Unsuitable("holds no object")
    servers = document.get(client.servers, {})
    if not isinstance(servers, dict):
        raise Unsuitable(f"has a {client.servers} that is not an object")
    return language, servers, document


def _entry(client: Client, server: ServerCommand) -> dict[str, Any]:
    kind = {"type": "stdio"} if client.typed else {}
    env = {"env": dict(server.env)} if server.env else {}
    return {**kind, "command": server.command, "args": list(server.args), **env}


def _merged(there: object, entry: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(there, dict) or "command" not in there:  # such as the address of a remote server
        return entry
    env = there.get("env")
    both = {**(env if isinstance(env, dict) else {}), **entry.get("env", {})}
    return {**there, **entry, **({"env": both} if both else {})}


def _checked(language: Language, text: str, expected: dict[str, Any]) -> str:
    try:
        found = language.load(text)
    except Unsuitable:
        raise Unsuitable(UNSAFE) from None
    emptied = {key: value for key, value in expected.items() if value or key in found}
    if found not in (expected, emptied):  # TOML has no table without a member or a heading
        raise Unsuitable(UNSAFE)
    return text
