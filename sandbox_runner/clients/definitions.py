"""The clients that can be told about this server, and where and how each keeps its list of servers.

Paths and shapes are those of the clients' own documentation, November 2026.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Syntax = Literal["json", "jsonc", "toml"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a client's files are looked for: ``platform`` is `sys.platform`."""

    platform: str
    home: Path
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client. ``servers`` is the key of its list, ``typed`` whether an entry says that it is stdio.

    ``file`` is its configuration; where none of ``signs`` exists it is not installed. ``after`` is what
    makes it read a new configuration.
    """

    name: str
    title: str
    syntax: Syntax
    servers: str
    typed: bool
    file: Callable[[Surroundings], Path]
    signs: Callable[[Surroundings], tuple[Path, ...]]
    after: str


def _from_environ(at: Surroundings, variable: str) -> Path | None:
    folder = Path(at.environ.get(variable, ""))
    return folder if folder.is_absolute() else None


def _applications(at: Surroundings) -> Path:
    """Where programs with windows keep their settings."""
    if at.platform == "darwin":
        return at.home / "Library" / "Application Support"
    if at.platform == "win32":
        return _from_environ(at, "APPDATA") or at.home / "AppData" / "Roaming"
    return _from_environ(at, "XDG_CONFIG_HOME") or at.home / ".config"


def _claude_code(at: Surroundings) -> Path:
    return (_from_environ(at, "CLAUDE_CONFIG_DIR") or at.home) / ".claude.json"


def _claude_code_folder(at: Surroundings) -> Path:
    return _from_environ(at, "CLAUDE_CONFIG_DIR") or at.home / ".claude"


def _codex(at: Surroundings) -> Path:
    return _from_environ(at, "CODEX_HOME") or at.home / ".codex"


_CLIENTS = (
    Client(
        name="claude-desktop",
        title="Claude Desktop",
        syntax="json",
        servers="mcpServers",
        typed=False,
        file=lambda at: _applications(at) / "Claude" / "claude_desktop_config.json",
        signs=lambda at: (_applications(at) / "Claude",),
        after="Quit Claude Desktop and open it again.",
    ),
    Client(
        name="claude-code",
        title="Claude Code",
        syntax="json",
        servers="mcpServers",
        typed=True,
        file=_claude_code,
        signs=lambda at: (_claude_code(at), _claude_code_folder(at)),
        after="Sessions that start from now on have it; /mcp shows it.",
    ),
    Client(
        name="cursor",
        title="Cursor",
        syntax="jsonc",
        servers="mcpServers",
        typed=False,
        file=lambda at: at.home / ".cursor" / "mcp.json",
        signs=lambda at: (at.home / ".cursor",),
        after="Restart Cursor, or switch the server on in its settings.",
    ),
    Client(
        name="vscode",
        title="VS Code",
        syntax="jsonc",
        servers="servers",
        typed=True,
        file=lambda at: _applications(at) / "Code" / "User" / "mcp.json",
        signs=lambda at: (_applications(at) / "Code",),
        after="Start it in VS Code with the command 'MCP: List Servers'.",
    ),
    Client(
        name="codex",
        title="Codex",
        syntax="toml",
        servers="mcp_servers",
        typed=False,
        file=lambda at: _codex(at) / "config.toml",
        signs=lambda at: (_codex(at),),
        after="Sessions that start from now on have it; /mcp shows it.",
    ),
)

CLIENTS: Mapping[str, Client] = {client.name: client for client in _CLIENTS}
