"""What PID 1 finds below a workspace, whatever was put there."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from pid1_parts import Parts

from sandbox_runner.agent.patterns import fits
from sandbox_runner.agent.protocol import MAX_ENTRIES

LETTERS = ["a", "b", ".", "\udcff", "é", "\n", "x" * 60]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Where the parts run; their program is not in it."""
    return tmp_path


def changed(parts: Parts, change: Callable[[], None], *patterns: str) -> dict[str, bool]:
    """Whether each entry that fits a pattern, and is new or altered by ``change``, is a regular file."""
    request = b"t" + b"".join(os.fsencode(pattern) + b"\0" for pattern in patterns)
    parts.say(len(request).to_bytes(4, "big") + request)
    assert parts.hear() == b""
    change()
    parts.say(b"c")
    answer = parts.hear()
    assert not answer.startswith(b"crashed"), answer
    entries = answer.split(b"\0")[:-1]
    return {os.fsdecode(entry[1:]): entry[:1] == b"1" for entry in entries}


def nothing() -> None:
    """Changes nothing."""


def test_what_was_there_is_no_change_and_what_is_written_to_is(pid1_below: Parts, workspace: Path) -> None:
    for name in ("kept", "written", "removed"):
        (workspace / name).write_text("x")

    def change() -> None:
        (workspace / "written").write_text("y")
        (workspace / "removed").unlink()
        (workspace / "new").write_text("")
        (workspace / "link").symlink_to("/etc/passwd")
        os.mkfifo(workspace / "pipe")

    expected = {"written": True, "new": True, "link": False, "pipe": False}
    assert changed(pid1_below, change, "*") == expected


def test_a_write_of_the_same_size_at_once_is_seen(pid1_below: Parts, workspace: Path) -> None:
    (workspace / "file").write_text("1")
    assert changed(pid1_below, lambda: (workspace / "file").write_text("2"), "*") == {"file": True}


def test_a_tree_of_any_names_is_found_as_the_host_understands_it(pid1_below: Parts, workspace: Path) -> None:
    chance = random.Random(7)
    folders, files = [workspace], set()
    for _ in range(600):
        name = "".join(chance.choices(LETTERS, k=chance.randint(1, 4)))
        path = chance.choice(folders) / name
        if name in (".", "..") or os.path.lexists(path):
            continue
        if chance.random() < 0.3 and len(path.relative_to(workspace).parts) < 30:
            path.mkdir()
            folders.append(path)
        else:
            path.write_bytes(b"")
            files.add(str(path.relative_to(workspace)))
    before = list(files)
    for pattern in ("**", "*", "a*/**", "**/?", "**/é*", "?/*"):
        found = changed(pid1_below, nothing, pattern)
        assert found == {}
    again = {path for path in before if fits(path, "**/?")}

    def touch() -> None:
        for path in before:
            (workspace / path).write_bytes(b"x")

    assert changed(pid1_below, touch, "**/?") == dict.fromkeys(again, True)


def test_what_is_too_deep_is_one_entry_and_no_name_is_too_long(pid1_below: Parts, workspace: Path) -> None:
    def dig() -> None:
        here = os.open(workspace, os.O_RDONLY)
        for _ in range(40):
            name = "n" * 255
            os.mkdir(name, dir_fd=here)
            inner = os.open(name, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
        os.close(here)

    deepest = "/".join(["n" * 255] * 32)
    assert changed(pid1_below, dig, "**") == {deepest: False}


def test_more_entries_than_are_looked_at_are_one_more(pid1_below: Parts, workspace: Path) -> None:
    def fill() -> None:
        for number in range(MAX_ENTRIES + 5):
            os.close(os.open(workspace / str(number), os.O_CREAT | os.O_WRONLY))

    found = changed(pid1_below, fill, "*")
    assert len(found) == MAX_ENTRIES
    assert found[""] is False


def test_very_many_folders_are_looked_into(pid1_below: Parts, workspace: Path) -> None:
    def fill() -> None:
        for number in range(3000):
            (workspace / f"{number:0255}").mkdir()
            (workspace / f"{number:0255}" / "file").write_bytes(b"")

    assert len(changed(pid1_below, fill, "*/file")) == 3000
