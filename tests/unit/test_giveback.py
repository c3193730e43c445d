"""What a container gives back is taken as the request allows it, and as nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runner.agent.patterns import matches, plain
from sandbox_runner.agent.protocol import (
    ARTIFACT,
    ARTIFACT_DATA,
    MAX_ARTIFACT,
    MAX_ARTIFACT_BYTES,
    MAX_ARTIFACTS,
    MAX_VALUE,
    RETURNED,
    ProtocolError,
)
from sandbox_runner.engines.giveback import KINDS, GivenBack
from sandbox_runner.events import Artifact
from sandbox_runner.request import InputFile
from sandbox_runner.spec import Job, ResolvedLimits

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


def taking(*artifacts: str, value: bytes | None = None, files: tuple[InputFile, ...] = ()) -> GivenBack:
    return GivenBack(
        Job(argv=("x",), env={}, cwd="/", files=files, stdin=b"", limits=LIMITS, artifacts=artifacts,
            value=value)
    )  # fmt: skip


def header(name: bytes, size: int = 0) -> bytes:
    return size.to_bytes(4, "big") + name


def take_file(given: GivenBack, name: bytes, data: bytes) -> None:
    given.take(ARTIFACT, header(name, len(data)))
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
    for number in range(MAX_ARTIFACTS):
        take_file(given, b"%d" % number, b"x")
    with pytest.raises(ProtocolError, match="more files"):
        take_file(given, b"one more", b"x")


def test_the_bytes_of_all_files_are_bounded_before_they_arrive():
    given = taking("*")
    for number in range(MAX_ARTIFACT_BYTES // MAX_ARTIFACT):
        take_file(given, b"%d" % number, bytes(MAX_ARTIFACT))
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
        [(ARTIFACT, header(b"x.png", MAX_ARTIFACT + 1))],
        [(ARTIFACT, header(b"x.png")), (ARTIFACT, header(b"x.png"))],
        [(ARTIFACT, header(b"x.png", 2)), (ARTIFACT, header(b"y.png"))],
        [(ARTIFACT, header(b"x.png", 2)), (ARTIFACT_DATA, b"abc")],
        [(ARTIFACT, header(b"x.png", 2)), (ARTIFACT_DATA, b"")],
        [(ARTIFACT_DATA, b"x")],
        [(RETURNED, b"")],
        [(RETURNED, bytes(MAX_VALUE)), (RETURNED, b"x")],
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


names = st.sampled_from([b"a.png", b"b.png", b"c.svg", b"..", b"a/b.png", b"\xff.png"]) | st.binary(
    max_size=9
)
bodies = st.binary(max_size=12) | st.builds(header, names, st.integers(0, 8) | st.integers(0, 0xFFFFFFFF))


@given(st.lists(st.tuples(st.sampled_from(KINDS), bodies), max_size=12))
def test_frames_of_any_bytes_raise_nothing_but_protocol_errors(frames):
    given = taking("*.png", "?", value=b"1")
    try:
        for kind, body in frames:
            given.take(kind, body)
        artifacts = list(given.artifacts())
    except ProtocolError:
        return
    paths = [artifact.path for artifact in artifacts]
    assert len(set(paths)) == len(paths) <= MAX_ARTIFACTS
    assert all(plain(path) and (matches(path, "*.png") or matches(path, "?")) for path in paths)
    assert (given.value or b"") == b"".join(body for kind, body in frames if kind == RETURNED)
