"""Layers of a stranger's image stay in their folder. Each attack is run twice: what unpacks without our
care must let it through, or the test would show nothing."""

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from test_tar_stream import archive, member

from sandbox_runner.errors import BuildFailed
from sandbox_runner.provision import layers
from sandbox_runner.provision.layers import RootFolder

DIR, LINK, SYM = tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("kept")
    return folder


@pytest.fixture
def rootfs(tmp_path):
    folder = tmp_path / "rootfs"
    folder.mkdir()
    return folder


def applied(rootfs, *contents: list[tuple[tarfile.TarInfo, bytes]]) -> RootFolder:
    root = RootFolder(rootfs)
    for content in contents:
        root.apply(io.BytesIO(archive(*content)))
    return root


def tree(rootfs) -> dict[str, str]:
    found = {}
    for here, folders, files in os.walk(rootfs):
        for path in (Path(here) / name for name in (*folders, *files)):
            what = str(path.readlink()) if path.is_symlink() else ""
            found[str(path.relative_to(rootfs))] = what or (path.read_text() if path.is_file() else "/")
    return found


ATTACKS = {
    "a name with ..": lambda outside: [(member("../outside/written"), b"x")],
    "a name from the top": lambda outside: [(member(f"{outside}/written"), b"x")],
    "through a symlink": lambda outside: [
        (member("out", SYM, str(outside)), b""),
        (member("out/written"), b"x"),
    ],
    "through a relative symlink": lambda outside: [
        (member("out", SYM, "../outside"), b""),
        (member("out/written"), b"x"),
    ],
    "through a chain": lambda outside: [
        (member("a", SYM, ".."), b""),
        (member("b", SYM, "a/outside"), b""),
        (member("b/written"), b"x"),
    ],
    "over a symlink to a file": lambda outside: [
        (member("file", SYM, str(outside / "secret")), b""),
        (member("file"), b"overwritten"),
    ],
    "a hard link out": lambda outside: [(member("stolen", LINK, "../outside/secret"), b"")],
    "a hard link through a symlink": lambda outside: [
        (member("out", SYM, str(outside)), b""),
        (member("stolen", LINK, "out/secret"), b""),
    ],
    "a folder's mode through a symlink": lambda outside: [
        (member("out", SYM, str(outside)), b""),
        (member("out", DIR, mode=0o777), b""),
        (member("out/written"), b"x"),
    ],
}


def state(outside) -> tuple:
    return tree(outside), stat.S_IMODE(outside.stat().st_mode), (outside / "secret").stat().st_nlink


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_is_written_linked_or_changed_outside(rootfs, outside, attack):
    before = state(outside)
    content = ATTACKS[attack](outside)
    try:
        applied(rootfs, content[:1], content[1:])
        RootFolder(rootfs).apply(io.BytesIO(archive(*content)))
    except BuildFailed as refused:
        assert "image" in str(refused)
    assert state(outside) == before


@pytest.mark.parametrize("attack", [name for name in ATTACKS if "over a" not in name and "mode" not in name])
def test_the_attack_is_one(rootfs, outside, attack):
    """Unpacked without care it reaches the outside."""
    before = state(outside)
    content = ATTACKS[attack](outside)
    for start, end in ((0, 1), (1, None)):
        with tarfile.open(fileobj=io.BytesIO(archive(*content[start:end]))) as tar:
            tar.extraction_filter = lambda member, _: member  # Python 3.11.2 has no filters
            tar.extractall(rootfs)
    assert state(outside) != before


def test_a_link_leads_where_it_would_in_the_container(rootfs, outside):
    applied(
        rootfs,
        [
            (member("usr/lib", DIR), b""),
            (member("lib", SYM, "/usr/lib"), b""),
            (member("up", SYM, "../../.."), b""),
        ],
        [(member("lib/one"), b"1"), (member("up/two"), b"2"), (member("lib/deep/er/three"), b"3")],
    )
    found = tree(rootfs)
    assert (found["usr/lib/one"], found["two"], found["usr/lib/deep/er/three"]) == ("1", "2", "3")
    assert found["lib"] == "/usr/lib"


def test_links_that_lead_in_a_circle_or_through_a_file_are_refused(rootfs):
    with pytest.raises(BuildFailed, match="leads out"):
        applied(rootfs, [(member("a", SYM, "b"), b""), (member("b", SYM, "a"), b""), (member("a/x"), b"")])
    with pytest.raises(BuildFailed, match="through a file"):
        applied(rootfs, [(member("f"), b""), (member("f/x"), b"")])


@pytest.mark.parametrize("where", ["proc", "etc/hosts", "etc"])
def test_what_the_engine_puts_there_goes_through_no_link_of_the_image(rootfs, outside, where):
    (outside / "hosts").write_text("the host's")
    before = state(outside)
    root = applied(
        rootfs, [(member("proc", SYM, str(outside)), b""), (member("etc", SYM, str(outside)), b"")]
    )
    if where == "proc":
        root.make_folder("proc")
        assert not (rootfs / "proc").is_symlink()
    elif where == "etc/hosts":
        root.write("etc/hosts", "ours")
    else:
        root.remove("etc")
    assert state(outside) == before


def test_layers_cover_each_other(rootfs):
    applied(
        rootfs,
        [
            (member("a/one"), b"1"),
            (member("a/two"), b"2"),
            (member("b/deep/three"), b"3"),
            (member("c"), b"4"),
        ],
        [(member("a/.wh.one"), b""), (member("c"), b"five"), (member("b", SYM, "a"), b"")],
    )
    assert tree(rootfs) == {"a": "/", "a/two": "2", "b": "a", "c": "five"}


@pytest.mark.parametrize("first", [True, False])
def test_an_opaque_folder_hides_what_was_below_and_nothing_of_its_own_layer(rootfs, first):
    own = [(member("d/sub/new"), b"n"), (member("d/own"), b"o")]
    opaque = [(member("d/.wh..wh..opq"), b"")]
    applied(
        rootfs,
        [
            (member("d/old"), b"1"),
            (member("d/sub/old"), b"2"),
            (member("d/gone/deep"), b"3"),
            (member("e"), b"4"),
        ],
        opaque + own if first else own + opaque,
    )
    assert tree(rootfs) == {"d": "/", "d/own": "o", "d/sub": "/", "d/sub/new": "n", "e": "4"}


def test_a_folder_that_was_taken_away_and_made_again_has_only_what_is_new(rootfs):
    applied(
        rootfs,
        [(member("d/old"), b"1"), (member("d/sub/old"), b"2")],
        [(member("d", DIR), b""), (member("d/new"), b"3"), (member(".wh.d"), b"")],
    )
    assert tree(rootfs) == {"d": "/", "d/new": "3"}


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh...", "../.wh.outside"])
def test_a_whiteout_takes_nothing_away_outside(rootfs, outside, name):
    before = state(outside)
    with pytest.raises(BuildFailed):
        applied(rootfs, [(member("d/x"), b"")], [(member(name), b"")])
    assert state(outside) == before


def test_a_whiteout_through_a_link_stays_inside(rootfs, outside):
    before = state(outside)
    applied(rootfs, [(member("out", SYM, str(outside)), b"")], [(member("out/.wh.secret"), b"")])
    applied(
        rootfs, [(member("top", SYM, str(outside.parent)), b"")], [(member("top/outside/.wh..wh..opq"), b"")]
    )
    assert state(outside) == before


def test_modes_lose_what_only_root_may_give_and_keep_the_rest(rootfs):
    applied(
        rootfs,
        [
            (member("suid", mode=0o6755), b""), (member("shared", mode=0o666), b""),
            (member("own", mode=0o600), b""), (member("t", DIR, mode=0o1777), b""),
            (member("closed", DIR, mode=0o700), b""),
        ],
    )  # fmt: skip
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in rootfs.iterdir()}
    assert modes == {"suid": 0o755, "shared": 0o644, "own": 0o600, "t": 0o755, "closed": 0o700}


def test_all_belongs_to_whoever_unpacks_and_a_strange_umask_changes_nothing(rootfs):
    made = member("new/file", mode=0o644)
    made.uid = made.gid = 20001
    before = os.umask(0o077)
    try:
        applied(rootfs, [(made, b"")])
    finally:
        os.umask(before)
    status = (rootfs / "new/file").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.geteuid(), 0o644)
    assert stat.S_IMODE((rootfs / "new").stat().st_mode) == 0o755


def test_devices_and_pipes_are_left_out(rootfs):
    applied(rootfs, [(member("sda", tarfile.BLKTYPE), b""), (member("mem", tarfile.CHRTYPE), b""),
                     (member("pipe", tarfile.FIFOTYPE), b""), (member("file"), b"")])  # fmt: skip
    assert tree(rootfs) == {"file": ""}


def test_the_time_of_a_file_is_kept(rootfs):
    made = member("module.py")
    made.mtime = 1_000_000_000
    applied(rootfs, [(made, b"")])
    assert (rootfs / "module.py").stat().st_mtime == 1_000_000_000


def test_a_hard_link_is_one_and_what_replaces_it_changes_no_other(rootfs):
    applied(rootfs, [(member("a"), b"1"), (member("b", LINK, "a"), b"")], [(member("b"), b"two")])
    assert tree(rootfs) == {"a": "1", "b": "two"}
    with pytest.raises(BuildFailed, match="not there"):
        applied(rootfs, [(member("c", LINK, "nothing"), b"")])


def test_too_many_files_and_too_deep_folders_are_refused(rootfs, monkeypatch):
    with pytest.raises(BuildFailed, match="folders below each other"):
        applied(rootfs, [(member("d/" * 500 + "x"), b"")])
    monkeypatch.setattr(layers, "MAX_ENTRIES", 5)
    with pytest.raises(BuildFailed, match="more than 5 files"):
        applied(rootfs, [(member(str(number)), b"") for number in range(6)])


def test_a_name_that_no_file_can_have_is_refused(rootfs):
    with pytest.raises(BuildFailed, match="cannot be put in place"):
        applied(rootfs, [(member("n" * 300), b"")])
