"""Where clients keep their files, and how a file is replaced."""

from pathlib import Path

import pytest

from sandbox_runner.clients.definitions import CLIENTS, Surroundings
from sandbox_runner.clients.reasons import Unsuitable
from sandbox_runner.clients.storage import decoded, replace_file

HOME = Path("/home/me")
FILES = [
    ("claude-desktop", "darwin", {}, "Library/Application Support/Claude/claude_desktop_config.json"),
    ("claude-desktop", "linux", {}, ".config/Claude/claude_desktop_config.json"),
    ("claude-desktop", "linux", {"XDG_CONFIG_HOME": "/x"}, "/x/Claude/claude_desktop_config.json"),
    ("claude-desktop", "linux", {"XDG_CONFIG_HOME": "x"}, ".config/Claude/claude_desktop_config.json"),
    ("claude-desktop", "win32", {"APPDATA": "/a"}, "/a/Claude/claude_desktop_config.json"),
    ("claude-desktop", "win32", {}, "AppData/Roaming/Claude/claude_desktop_config.json"),
    ("claude-code", "linux", {}, ".claude.json"),
    ("claude-code", "darwin", {"CLAUDE_CONFIG_DIR": "/c"}, "/c/.claude.json"),
    ("cursor", "darwin", {}, ".cursor/mcp.json"),
    ("cursor", "win32", {"APPDATA": "/a"}, ".cursor/mcp.json"),
    ("vscode", "darwin", {}, "Library/Application Support/Code/User/mcp.json"),
    ("vscode", "linux", {}, ".config/Code/User/mcp.json"),
    ("vscode", "win32", {"APPDATA": "/a"}, "/a/Code/User/mcp.json"),
    ("codex", "linux", {}, ".codex/config.toml"),
    ("codex", "linux", {"CODEX_HOME": "/c"}, "/c/config.toml"),
]


@pytest.mark.parametrize(("client", "platform", "environ", "file"), FILES)
def test_each_client_has_its_file_on_each_system(client, platform, environ, file):
    assert CLIENTS[client].file(Surroundings(platform, HOME, environ)) == HOME / file


def test_a_file_that_another_program_just_changed_is_left_alone(tmp_path):
    file = tmp_path / "mcp.json"
    file.write_bytes(b"theirs")
    with pytest.raises(Unsuitable, match="changed by another program"):
        replace_file(file, b"as it was read", b"ours")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"mcp.json": b"theirs"}


def test_a_file_that_appeared_meanwhile_is_left_alone(tmp_path):
    file = tmp_path / "mcp.json"
    file.write_bytes(b"theirs")
    with pytest.raises(Unsuitable, match="changed by another program"):
        replace_file(file, None, b"ours")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"mcp.json": b"theirs"}


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Unsuitable, match="cannot be written"):
        replace_file(tmp_path / "file" / "folder" / "mcp.json", None, b"ours")


def test_the_mark_of_an_editor_is_kept_apart():
    assert decoded("\ufeff{}".encode()) == ("\ufeff", "{}")
    assert decoded(b"{}") == ("", "{}")
