"""Files from a container land in the folder that was chosen, whatever their names and whatever is there."""

import itertools
import os
import stat
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from sandbox_runner.errors import InvalidRequest
from sandbox_runner.outbox import HeldFolder, NamedFolder, Outbox

PLACES = [HeldFolder, NamedFolder]


@pytest.fixture(params=PLACES, ids=lambda kind: kind.__name__)
def place(request, tmp_path):
    """Puts one file with ``data`` to a path below ``tmp_path / "out"``."""
    (tmp_path / "out").mkdir()
    with closing(request.param(tmp_path / "out")) as made:
        numbers = iter(range(1000))

        def put(path: str, data: bytes = b"x", *, executable: bool = False) -> None:
            name = str(next(numbers))
            file = made.begin(name, executable=executable)
            os.write(file, data)
            os.close(file)
            made.put(name, path)

        yield put


def left(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if ".sandbox-runner-" not in str(path)
    )


def test_files_and_their_folders_are_made(place, tmp_path):
    place("a", b"1")
    place("b/c/d", b"2")
    assert left(tmp_path / "out") == ["a", "b", "b/c", "b/c/d"]
    assert (tmp_path / "out/b/c/d").read_bytes() == b"2"


def test_a_file_has_no_more_permissions_than_the_umask_leaves(place, tmp_path):
    former = os.umask(0o027)
    try:
        place("b/a")
        place("b/program", executable=True)
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "out/b/a").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "out/b/program").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "out/b").stat().st_mode) == 0o750


def test_a_file_that_is_there_is_replaced_and_not_written_through(place, tmp_path):
    (tmp_path / "victim").write_text("mine")
    os.link(tmp_path / "victim", tmp_path / "out/a")
    place("a", b"new")
    assert ((tmp_path / "out/a").read_bytes(), (tmp_path / "victim").read_text()) == (b"new", "mine")


def test_a_link_in_a_files_place_is_replaced_and_not_followed(place, tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "out/a").symlink_to(tmp_path / "victim")
    (tmp_path / "out/b").symlink_to("/dev/null")
    place("a", b"new")
    place("b", b"new")
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "out/a").is_symlink()
    assert (tmp_path / "out/b").read_bytes() == b"new"


@pytest.mark.parametrize("target", ["..", "/tmp", "real", "nowhere"])
def test_a_link_in_a_folders_place_is_not_followed(place, tmp_path, target):
    (tmp_path / "out/real").mkdir()
    (tmp_path / "out/a").symlink_to(target)
    with pytest.raises(OSError):
        place("a/b-of-outbox")
    assert left(tmp_path / "out") == ["a", "real"]
    assert not (tmp_path / "b-of-outbox").exists()
    assert not Path("/tmp/b-of-outbox").exists()


@pytest.mark.parametrize("path", ["a", "a/b"])
def test_a_pipe_is_not_opened(place, tmp_path, path):
    os.mkfifo(tmp_path / "out/a")
    if path == "a":
        place(path, b"new")
        assert (tmp_path / "out/a").read_bytes() == b"new"
    else:
        with pytest.raises(OSError):
            place(path)


def test_a_folder_in_a_files_place_stays(place, tmp_path):
    (tmp_path / "out/a").mkdir()
    (tmp_path / "out/a/b").write_text("mine")
    with pytest.raises(OSError):
        place("a")
    assert (tmp_path / "out/a/b").read_text() == "mine"


def test_a_second_name_of_the_same_file_is_refused(place, tmp_path):
    """As where case does not count: here a hard link makes the other name."""
    place("a", b"first")
    os.link(tmp_path / "out/a", tmp_path / "out/A")
    with pytest.raises(OSError, match="another file's name"):
        place("A", b"second")
    assert (tmp_path / "out/a").read_bytes() == b"first"


@pytest.mark.parametrize(
    "path", ["", "/x", "../x", "a/../x", "a//x", "a/./x", "./x", "a\0x", "a\nx", "x" * 256, "a/" * 32 + "x"]
)
def test_an_outbox_takes_plain_paths_only(tmp_path, path):
    with closing(Outbox(tmp_path / "out")) as outbox:
        os.close(outbox.begin("0"))
        with pytest.raises(OSError, match="plain path"):
            outbox.put("0", path)
    assert left(tmp_path) == ["out"]


@pytest.mark.parametrize(
    "path",
    [
        ".git/hooks/post-checkout",
        "a/.git/config",
        ".git",
        ".GIT/config",
        ".g\u200cit/config",
        "git~1/config",
        ".git./x",
    ],
)
def test_nothing_is_put_where_git_would_run_it(tmp_path, path):
    """The attack: a hook in the folder of a checkout, which runs as whoever uses git there."""
    with closing(Outbox(tmp_path / "out")) as outbox:
        os.close(outbox.begin("0", executable=True))
        with pytest.raises(OSError, match="for git to run"):
            outbox.put("0", path)
        outbox.put("0", ".gitignore")
    assert left(tmp_path) == ["out", "out/.gitignore"]


@pytest.mark.parametrize(
    "path",
    [
        "a\\b",
        "C:x",
        "a:stream",
        "a?",
        "con",
        "CON.txt",
        "x/aux",
        "com1.log",
        "lpt\u00b2",
        "a.",
        "a ",
        "x./a",
        "nul",
    ],
)
def test_names_that_mean_something_else_on_windows_are_refused_there(tmp_path, path):
    with closing(NamedFolder(tmp_path)) as place:
        os.close(place.begin("0"))
        with pytest.raises(OSError, match="on Windows"):
            place.put("0", path)
    assert left(tmp_path) == []


@pytest.mark.parametrize("kind", PLACES)
def test_what_was_begun_and_not_put_is_gone_at_the_end(tmp_path, kind):
    with closing(kind(tmp_path)) as place:
        os.close(place.begin("0"))
        os.close(place.begin("1"))
        place.drop("0")
        with pytest.raises(FileExistsError):
            place.begin("1")
    assert list(tmp_path.iterdir()) == []


def test_what_arrives_is_nobody_elses_to_read_before_it_is_complete(tmp_path):
    with closing(Outbox(tmp_path)) as outbox:
        os.close(outbox.begin("0"))
        [own] = tmp_path.iterdir()
        assert stat.S_IMODE(own.stat().st_mode) == 0o700


def test_what_a_killed_process_left_goes_with_the_next_and_nothing_else(tmp_path):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom sandbox_runner.outbox import Outbox\n"
        "os.write(Outbox(Path(sys.argv[1])).begin('0'), b'half')\nos.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=60, check=False)
    [dead] = tmp_path.iterdir()
    long_ago = (1.0, 1.0)
    with closing(Outbox(tmp_path)) as alive:
        assert dead.exists()  # it may be another's that has only begun
        os.close(alive.begin("0"))
        [beside] = set(tmp_path.iterdir()) - {dead}
        for place in (dead, beside):
            os.utime(place, long_ago)
        named_alike = tmp_path / ".sandbox-runner-0123456789abcdef"
        named_alike.mkdir(0o755)
        linked = tmp_path / ".sandbox-runner-0123456789abcdee"
        linked.symlink_to(named_alike)
        os.utime(named_alike, long_ago)
        Outbox(tmp_path).close()
        assert set(tmp_path.iterdir()) == {beside, named_alike, linked}
        assert len(list(beside.iterdir())) == 1


@pytest.mark.parametrize(
    "spoil", [lambda path: path.write_text("x"), lambda path: path.symlink_to("nowhere/at")]
)
def test_a_folder_that_cannot_be_one_is_refused(tmp_path, spoil):
    spoil(tmp_path / "out")
    with pytest.raises(InvalidRequest, match="choose another folder"):
        Outbox(tmp_path / "out")


def test_links_that_others_swap_in_meanwhile_lead_nowhere(tmp_path):
    """Somebody swaps a folder for a link to another one all the time; none of a thousand files follows it."""
    out, victim = tmp_path / "out", tmp_path / "victim"
    (out / "a").mkdir(parents=True)
    victim.mkdir()
    (out / "link").symlink_to(victim)
    over = threading.Event()

    def swap() -> None:
        for turn in itertools.count():
            if over.is_set():
                return
            with suppress(OSError):  # the folder that was moved away may be made anew at any moment
                (out / "a").rename(out / f"former-{turn}")
                (out / "link").rename(out / "a")
            if (out / "a").is_symlink():
                (out / "a").rename(out / "link")

    swapping = threading.Thread(target=swap)
    swapping.start()
    refused = 0
    try:
        with closing(HeldFolder(out)) as place:
            for number in range(1000):
                os.close(place.begin(str(number)))
                try:
                    place.put(str(number), f"a/{number}")
                except OSError:
                    refused += 1
    finally:
        over.set()
        swapping.join(60)
    assert list(victim.iterdir()) == []
    assert refused < 1000
