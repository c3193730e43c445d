"""`sandbox-runner install` in a home of its own: each client, and each file that must not be damaged."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sandbox_runner import __version__
from sandbox_runner.clients.definitions import CLIENTS, Surroundings

NAME = "sandbox-runner"
EXISTING = {
    "json": '{\n    "theme": "dark",\n    "KEY": {"other": {"command": "x"}}\n}\n',
    "jsonc": '{\n    // mine\n    "KEY": {"other": {"command": "x"},},\n}\n',
    "toml": '# mine\nmodel = "x"\n\n[KEY.other]\ncommand = "x" # why\n',
}
EMPTY = {"json": "{}", "jsonc": "{}", "toml": ""}
every_client = pytest.mark.parametrize("client", CLIENTS.values(), ids=lambda client: client.name)


@pytest.fixture
def home(tmp_path):
    """A home in which every client has run once."""
    for client in CLIENTS.values():
        client.signs(Surroundings(sys.platform, tmp_path, {}))[-1].mkdir(parents=True, exist_ok=True)
    return tmp_path


@pytest.fixture
def install(home, sandbox_runner):
    """Calls `install` in that home."""
    ours = {"HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])}
    hidden = ("XDG_CONFIG_HOME", "CODEX_HOME", "CLAUDE_CONFIG_DIR")
    environ = {name: value for name, value in os.environ.items() if name not in hidden} | ours

    def call(*words, **more):
        return sandbox_runner("install", *words, env=environ | more)

    return call


def file_of(client, home) -> Path:
    return client.file(Surroundings(sys.platform, home, {}))


def existing(client) -> str:
    return EXISTING[client.syntax].replace("KEY", client.servers)


def entry_in(client, text):
    return (tomllib.loads if client.syntax == "toml" else json.loads)(text)[client.servers][NAME]


def files_below(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@every_client
def test_what_is_registered_starts_from_any_folder_without_the_users_variables(client, home, install):
    done = install(client.name)
    assert done.returncode == 0, done.stderr
    assert f"is registered in {client.title}: {file_of(client, home)}" in done.stdout
    entry = entry_in(client, file_of(client, home).read_text())
    assert entry["args"][-1] == "stdio"
    assert entry.get("type") == ("stdio" if client.typed else None)
    assert Path(entry["command"]).is_absolute()
    started = subprocess.run(
        [entry["command"], *entry["args"][:-1], "--version"],
        env={"PATH": "/usr/bin:/bin", **entry.get("env", {})},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert started.stdout == f"sandbox-runner {__version__}\n"


@every_client
def test_what_is_there_stays_and_a_copy_of_it(client, home, install):
    file = file_of(client, home)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(existing(client))
    file.chmod(0o640)
    done = install(client.name)
    assert done.returncode == 0, done.stderr
    text = file.read_text()
    kept = ("mine", "why", "theme", '"x"')
    assert [mark for mark in kept if (mark in existing(client)) != (mark in text)] == []
    assert file.stat().st_mode & 0o777 == 0o640
    (backup,) = file.parent.glob(f"{file.name}.backup-*")
    assert backup.read_text() == existing(client)
    assert backup.stat().st_mode & 0o777 == 0o640
    assert str(backup) in done.stdout


@every_client
def test_a_second_time_changes_nothing(client, home, install):
    install(client.name)
    before = files_below(home)
    done = install(client.name)
    assert (done.returncode, files_below(home)) == (0, before)
    assert "is already registered" in done.stdout


@every_client
def test_another_registration_of_that_name_is_updated_and_shown(client, home, install):
    install(client.name, "--set", "memory=64m")
    done = install(client.name, "--set", "memory=128m")
    assert "is updated in" in done.stdout
    assert "It was: " in done.stdout
    assert "stdio --set memory=64m" in done.stdout
    assert entry_in(client, file_of(client, home).read_text())["args"][-2:] == ["--set", "memory=128m"]


@every_client
def test_remove_takes_out_what_install_put_in(client, home, install):
    file = file_of(client, home)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(existing(client))
    install(client.name, "--name", "mine")
    assert '"mine"' in file.read_text() or ".mine]" in file.read_text()
    done = install(client.name, "--name", "mine", "--remove")
    assert "mine is removed from" in done.stdout
    assert file.read_text().rstrip() == existing(client).rstrip()
    again = install(client.name, "--name", "mine", "--remove")
    assert (again.returncode, "is not registered in" in again.stdout) == (0, True)


@every_client
def test_print_gives_a_whole_configuration_and_changes_nothing(client, home, install):
    before = files_below(home)
    done = install(client.name, "--print", DOCKER_HOST="tcp://engine:1")
    assert (done.returncode, done.stderr, files_below(home)) == (0, "", before)
    assert entry_in(client, done.stdout)["env"]["DOCKER_HOST"] == "tcp://engine:1"


@every_client
def test_a_client_that_is_not_there_is_told_and_nothing_is_made(client, tmp_path, install):
    elsewhere = tmp_path / "empty"
    elsewhere.mkdir()
    done = install(client.name, HOME=str(elsewhere))
    assert (done.returncode, done.stdout) == (2, "")
    assert "does not seem to be installed" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(elsewhere.iterdir()) == []
    assert install(client.name, "--print", HOME=str(elsewhere)).returncode == 0


@every_client
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"a": ', "is not"),
        (b"\xff\xfe{}", "is not UTF-8"),
        (b"\x00\x01", "is not"),
        (None, "that is not an object"),
    ],
    ids=["cut off", "not UTF-8", "binary", "another shape"],
)
@pytest.mark.parametrize("words", [(), ("--remove",)], ids=["install", "remove"])
def test_a_file_that_is_not_understood_is_left_as_it_is(client, home, install, content, reason, words):
    file = file_of(client, home)
    file.parent.mkdir(parents=True, exist_ok=True)
    other = f"{client.servers} = [1]" if client.syntax == "toml" else json.dumps({client.servers: [1]})
    file.write_bytes(other.encode() if content is None else content)
    before = files_below(home)
    done = install(client.name, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert f"{file} " in done.stderr
    assert reason in done.stderr
    assert "it was left as it is" in done.stderr
    assert f"install {client.name} --print" in done.stderr
    assert files_below(home) == before


def test_comments_where_the_client_reads_none_are_left_as_they_are(home, install):
    file = file_of(CLIENTS["claude-desktop"], home)
    file.write_text('{\n  // mine\n  "mcpServers": {}\n}\n')
    done = install("claude-desktop")
    assert done.returncode == 2
    assert "is not JSON" in done.stderr
    assert file.read_text() == '{\n  // mine\n  "mcpServers": {}\n}\n'


def test_what_is_no_file_is_refused_at_once(home, install):
    file = file_of(CLIENTS["cursor"], home)
    file.mkdir()
    assert f"{file} is a directory" in install("cursor").stderr
    file.rmdir()
    os.mkfifo(file)
    assert f"{file} is not a regular file" in install("cursor").stderr
    file.unlink()
    file.symlink_to(file.name)
    assert "cannot be read" in install("cursor").stderr
    file.unlink()
    file.parent.rmdir()
    file.parent.touch()
    assert "cannot be read" in install("cursor").stderr
    assert file.parent.read_bytes() == b""


def test_a_link_stays_a_link_and_its_file_is_changed(home, install):
    file, real = file_of(CLIENTS["cursor"], home), home / "dotfiles" / "cursor.json"
    real.parent.mkdir()
    real.write_text("{}")
    file.symlink_to(real)
    done = install("cursor")
    assert file.is_symlink()
    assert NAME in json.loads(real.read_text())["mcpServers"]
    assert f"{real}" in done.stdout
    assert [path.name for path in real.parent.glob("*.backup-*")] != []


def test_the_mark_of_an_editor_and_its_line_ends_stay(home, install):
    file = file_of(CLIENTS["cursor"], home)
    file.write_bytes(b'\xef\xbb\xbf{\r\n\t"mcpServers": {}\r\n}\r\n')
    assert install("cursor").returncode == 0
    data = file.read_bytes()
    assert data.startswith(b'\xef\xbb\xbf{\r\n\t"mcpServers": {\r\n\t\t"sandbox-runner": {\r\n')
    assert data.count(b"\n") == data.count(b"\r\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("cursor", "--set", "memroy=1g"), "did you mean memory?"),
        (("cursor", "--set", "memory=1"), "16m or more"),
        (("cursor", "--name", "a b"), "give 1 to 64 letters"),
        (("cursor", "--print", "--remove"), "not allowed with"),
        (("emacs",), "claude-desktop"),
        ((), "client"),
    ],
)
def test_a_request_that_makes_no_sense_changes_nothing(home, install, words, said):
    before = files_below(home)
    done = install(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert files_below(home) == before


def test_without_an_engine_it_registers_and_says_what_comes_next(home, install):
    done = install("cursor", DOCKER_HOST="unix:///nowhere.sock")
    assert done.returncode == 0
    assert done.stdout.endswith("Before its first use run: sandbox-runner setup\n")
    assert entry_in(CLIENTS["cursor"], file_of(CLIENTS["cursor"], home).read_text())["env"]["DOCKER_HOST"]


def test_with_engine_and_images_nothing_comes_next(built_image, home, install):
    assert "setup" not in install("cursor").stdout


def test_a_language_that_was_not_made_ready_makes_no_setup_necessary(built_image, home, install):
    folder = home / ".config/sandbox-runner/images/unbuilt"
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\n")
    assert "setup" not in install("cursor").stdout
