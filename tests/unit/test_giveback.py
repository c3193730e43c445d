"""What a container gives back is taken as the request allows it, and as nothing else."""

import os
import stat
import tracemalloc
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runner.agent.patterns import fits, plain_path
from sandbox_runner.agent.protocol import (
    ARTIFACT,
    ARTIFACT_BODY,
    ARTIFACT_DATA,
    EXECUTABLE,
    MAX_RETURNED,
    RETURNED,
    ProtocolError,
)
from sandbox_runner.engines.giveback import KINDS, GivenBack
from sandbox_runner.events import Artifact
from sandbox_runner.request import InputFile
from sandbox_runner.spec import ArtifactCaps, Job, ResolvedLimits

LIMITS = ResolvedLimits(
    wall_time=1,
    cpu_time=1,
    memory=1,
    cpus=1,
    pids=1,
    workspace=1,
    tmp=1,
    capture=1,
    output=1,
    compile_time=1,
    compile_memory=1,
)
MIB = 1 << 20
CAPS = ArtifactCaps(16, 4 * MIB, 8 * MIB)


def taking(
    *artifacts: str,
    value: bytes | None = None,
    files: tuple[InputFile, ...] = (),
    out: Path | None = None,
    caps: ArtifactCaps = CAPS,
) -> GivenBack:
    return GivenBack(
        Job(argv=("x",), env={}, cwd="/", files=files, stdin=b"", limits=LIMITS, artifacts=artifacts,
            artifact_caps=caps, out=out, value=value)
    )  # fmt: skip


def header(name: bytes, size: int = 0, flags: int = 0) -> bytes:
    return ARTIFACT_BODY.pack(size, flags) + name


def take_file(given: GivenBack, name: bytes, data: bytes, flags: int = 0) -> None:
    given.take(ARTIFACT, header(name, len(data), flags))
    if data:
        given.take(ARTIFACT_DATA, data)


def test_files_and_a_value_arrive_in_pieces():
    given = taking("*.png", value=b"")
    for kind, body in (
        (RETURNED, b"[1,"), (RETURNED, b"2]"),
        (ARTIFACT, header(b"a.png", 3)), (ARTIFACT_DATA, b"ab"), (ARTIFACT_DATA, b"c"),
        (ARTIFACT, header(b"b.png")),
    ):  # fmt: skip
        given.take(kind, body)
    assert given.value == b"[1,2]"
    assert list(given.artifacts()) == [Artifact("a.png", b"abc"), Artifact("b.png", b"")]


def test_nothing_given_back_is_no_value_and_no_file():
    given = taking("*", value=b"{}")
    assert (given.begun, given.value, list(given.artifacts())) == (False, None, [])


def test_a_file_that_was_sent_comes_back_only_where_it_changed():
    given = taking(
        "*", files=(InputFile("./same", b"1"), InputFile("changed", b"1"), InputFile("a/new", b"2"))
    )
    for name, data in ((b"same", b"1"), (b"changed", b"2"), (b"new", b"2")):
        take_file(given, name, data)
    assert [artifact.path for artifact in given.artifacts()] == ["changed", "new"]


def test_as_many_files_come_as_are_allowed_and_no_more():
    given = taking("*")
    for number in range(CAPS.count):
        take_file(given, b"%d" % number, b"x")
    with pytest.raises(ProtocolError, match="more files"):
        take_file(given, b"one more", b"x")


def test_the_bytes_of_all_files_are_bounded_before_they_arrive():
    given = taking("*")
    for number in range(CAPS.total // CAPS.size):
        take_file(given, b"%d" % number, bytes(CAPS.size))
    with pytest.raises(ProtocolError, match="more bytes"):
        given.take(ARTIFACT, header(b"one more", 1))


@pytest.mark.parametrize(
    "frames",
    [
        [(ARTIFACT, header(b"x.svg"))],
        [(ARTIFACT, header(b"../x.png"))],
        [(ARTIFACT, header(b"/x.png"))],
        [(ARTIFACT, header(b"a\n.png"))],
        [(ARTIFACT, header(b"\xff.png"))],
        [(ARTIFACT, header(b""))],
        [(ARTIFACT, b"")],
        [(ARTIFACT, header(b"x.png")[:8])],
        [(ARTIFACT, header(b"x.png", 0, 0o2))],
        [(ARTIFACT, header(b"x.png", 0, 0xFF))],
        [(ARTIFACT, header(b"x.png", CAPS.size + 1))],
        [(ARTIFACT, header(b"x.png", (1 << 64) - 1))],
        [(ARTIFACT, header(b"sub/x.png"))],
        [(ARTIFACT, header(b"a\0.png"))],
        [(ARTIFACT, header(b"./x.png"))],
        [(ARTIFACT, header(b"x.png/"))],
        [(ARTIFACT, header(b"x.png")), (ARTIFACT, header(b"x.png"))],
        [(ARTIFACT, header(b"x.png", 2)), (ARTIFACT, header(b"y.png"))],
        [(ARTIFACT, header(b"x.png", 2)), (ARTIFACT_DATA, b"abc")],
        [(ARTIFACT, header(b"x.png", 2)), (ARTIFACT_DATA, b"")],
        [(ARTIFACT_DATA, b"x")],
        [(RETURNED, b"")],
        [(RETURNED, bytes(MAX_RETURNED)), (RETURNED, b"x")],
    ],
)
def test_what_was_not_asked_for_or_is_too_much_is_refused(frames):
    given = taking("*.png", value=b"1")
    *before, last = frames
    for kind, body in before:
        given.take(kind, body)
    with pytest.raises(ProtocolError):
        given.take(*last)


def test_a_value_is_refused_where_the_program_was_given_none():
    with pytest.raises(ProtocolError, match="not asked for"):
        taking("*").take(RETURNED, b"1")


def test_a_last_file_that_is_cut_short_is_refused():
    given = taking("*")
    given.take(ARTIFACT, header(b"x", 2))
    given.take(ARTIFACT_DATA, b"a")
    with pytest.raises(ProtocolError, match="shorter"):
        list(given.artifacts())


@pytest.mark.parametrize(
    "path",
    [b"../x", b"a/../../x", b"/etc/x", b"a//x", b"a/./x", b"a\0x", b"a/" * 32 + b"x", b"x/" * 600, b""],
)
def test_no_path_leads_elsewhere_even_where_every_file_was_asked_for(path):
    with pytest.raises(ProtocolError, match="without a plain path"):
        taking("**").take(ARTIFACT, header(path))


def test_files_in_folders_come_where_a_pattern_means_them():
    given = taking("plots/*.png", "**/*.csv")
    for name in (b"plots/a.png", b"b.csv", b"x/y/c.csv"):
        take_file(given, name, b"1")
    assert [artifact.path for artifact in given.artifacts()] == ["plots/a.png", "b.csv", "x/y/c.csv"]
    with pytest.raises(ProtocolError, match="not asked for"):
        given.take(ARTIFACT, header(b"x/plots/a.png"))


@pytest.mark.parametrize(("flags", "mode"), [(0, 0o644), (EXECUTABLE, 0o755)])
def test_of_a_files_mode_it_is_kept_whether_it_is_a_program(tmp_path, flags, mode):
    former = os.umask(0o022)
    try:
        with taking("**", out=tmp_path) as given:
            take_file(given, b"a", b"x", flags)
            [artifact] = given.artifacts()
    finally:
        os.umask(former)
    assert (stat.S_IMODE((tmp_path / "a").stat().st_mode), artifact.executable) == (mode, bool(flags))


def test_a_file_that_was_sent_comes_back_where_it_became_a_program():
    given = taking("*", files=(InputFile("a", b"1"), *(InputFile(name, b"1", 0o755) for name in "bc")))
    for name, flags in ((b"a", EXECUTABLE), (b"b", EXECUTABLE), (b"c", 0)):
        take_file(given, name, b"1", flags)
    back = [(artifact.path, artifact.executable) for artifact in given.artifacts()]
    assert back == [("a", True), ("c", False)]


def everything_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if not path.is_dir()
    }


def test_files_for_a_folder_have_their_place_only_when_all_is_complete(tmp_path):
    out = tmp_path / "new" / "out"
    with taking("**", out=out) as given:
        take_file(given, b"a/b.csv", b"1,2")
        take_file(given, b"c", b"")
        assert not (out / "a").exists()
        artifacts = given.artifacts()
    assert everything_in(out) == {"a/b.csv": b"1,2", "c": b""}
    first = artifacts[0]
    assert (first.file, first.content, first.data) == (out / "a/b.csv", None, b"1,2")
    assert (first.size, first.type, first.sha256) == (3, "text/csv", sha256(b"1,2").hexdigest())
    assert given.omitted == 0


def test_a_run_that_broke_off_leaves_nothing_in_the_folder(tmp_path):
    with taking("**", out=tmp_path) as given:
        take_file(given, b"a", b"whole")
        given.take(ARTIFACT, header(b"b", 9))
        given.take(ARTIFACT_DATA, b"part")
        with pytest.raises(ProtocolError, match="shorter"):
            given.artifacts()
    assert list(tmp_path.iterdir()) == []


def test_a_file_as_it_was_sent_is_not_written(tmp_path):
    with taking("**", out=tmp_path, files=(InputFile("./a", b"1"), InputFile("b", b"1"))) as given:
        take_file(given, b"a", b"1")
        take_file(given, b"b", b"2")
        given.artifacts()
    assert everything_in(tmp_path) == {"b": b"2"}


def test_a_file_that_has_no_place_is_counted_and_the_others_come(tmp_path):
    (tmp_path / "folder").mkdir()
    with taking("**", out=tmp_path) as given:
        for name in (b"folder", b"file", b"file/below", b"last"):
            take_file(given, name, b"x")
        assert [artifact.path for artifact in given.artifacts()] == ["file", "last"]
    assert given.omitted == 2


def test_a_full_disk_leaves_out_what_does_not_fit_and_no_more():
    """/dev/full stands for the disk: each write to it says that no space is left."""
    given = taking("*")
    given.take(ARTIFACT, header(b"a", 4))
    file = given._last
    file.data, file.name, file.descriptor = None, "0", os.open("/dev/full", os.O_WRONLY)
    given.take(ARTIFACT_DATA, b"ab")
    given.take(ARTIFACT_DATA, b"cd")
    take_file(given, b"b", b"fits")
    assert [artifact.path for artifact in given.artifacts()] == ["b"]
    assert given.omitted == 1


def test_memory_is_flat_however_much_goes_to_a_folder(tmp_path):
    piece = bytes(1 << 16)
    caps = ArtifactCaps(4000, 64 * MIB, 128 * MIB)
    with taking("**", out=tmp_path, caps=caps) as given:
        tracemalloc.start()
        given.take(ARTIFACT, header(b"large", 64 * MIB))
        for _ in range(64 * MIB // len(piece)):
            given.take(ARTIFACT_DATA, piece)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < MIB
        assert given.artifacts()[0].file.stat().st_size == 64 * MIB


def test_thousands_of_names_are_refused_by_their_count(tmp_path):
    with taking("**", out=tmp_path, caps=ArtifactCaps(100, 1, 1)) as given:
        for number in range(100):
            given.take(ARTIFACT, header(b"%d" % number))
        with pytest.raises(ProtocolError, match="more files"):
            given.take(ARTIFACT, header(b"100"))


names = st.sampled_from(
    [b"a.png", b"b.png", b"c.svg", b"..", b"a/b.png", b"a/../b.png", b"A.png", b"\xff.png", b"a.png/c.png"]
) | st.binary(max_size=9)
bodies = st.binary(max_size=12) | st.builds(header, names, st.integers(0, 8) | st.integers(0, (1 << 64) - 1))
frames = st.lists(st.tuples(st.sampled_from(KINDS), bodies), max_size=12)
PATTERNS = ("*.png", "?", "a/**")


@given(frames)
def test_frames_of_any_bytes_raise_nothing_but_protocol_errors(frames):
    given = taking(*PATTERNS, value=b"1")
    try:
        for kind, body in frames:
            given.take(kind, body)
        artifacts = list(given.artifacts())
    except ProtocolError:
        return
    paths = [artifact.path for artifact in artifacts]
    assert len(set(paths)) == len(paths) <= CAPS.count
    assert all(plain_path(path) and any(fits(path, pattern) for pattern in PATTERNS) for path in paths)
    assert (given.value or b"") == b"".join(body for kind, body in frames if kind == RETURNED)


@given(frames)
def test_frames_of_any_bytes_write_nowhere_but_into_the_folder(tmp_path_factory, frames):
    around = tmp_path_factory.mktemp("around")
    artifacts = []
    try:
        with taking("**", value=b"1", out=around / "a" / "out") as given:
            for kind, body in frames:
                given.take(kind, body)
            artifacts = given.artifacts()
    except ProtocolError:
        pass
    assert everything_in(around) == {f"a/out/{artifact.path}": artifact.data for artifact in artifacts}
