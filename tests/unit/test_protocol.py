"""The frames: what one side packs the other unpacks, and anything else is refused and no more."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pid1_parts import Broken, Parts
from weakened import SOURCE

from sandbox_runner.agent import patterns, protocol
from sandbox_runner.agent.protocol import Exit, ProtocolError, Splitter, frame

words = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b"0"))
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20).map(
    lambda text: text.encode()
)
frames = st.tuples(st.integers(0, 255), st.integers(0, 0xFFFF), st.binary(max_size=300))
seconds = st.floats(min_value=0, max_value=protocol.MAX_SECONDS, exclude_min=True)
u64 = st.integers(0, (1 << 64) - 2)
jobs = st.fixed_dictionaries(
    {
        "argv": st.lists(words, min_size=1, max_size=5),
        "env": st.lists(words.map(lambda word: b"NAME=" + word), max_size=5),
        "cwd": words,
        "wall_time": seconds,
        "cpu_time": seconds,
        "output": u64,
        "artifacts": st.lists(texts, max_size=3),
        "artifact_count": st.integers(0, 0xFFFFFFFF),
        "artifact_size": u64,
        "artifact_bytes": u64,
        "kernel": words,
        "session": st.just(value=True),
    }
)
ends = st.fixed_dictionaries(
    {
        "cause": st.integers(0, protocol.CANCELLED),
        "status": st.integers(0, 255),
        "wall_time": seconds,
        "stdout_bytes": u64,
        "stderr_bytes": u64,
        "artifacts_omitted": st.integers(0, protocol.MAX_ENTRIES),
        "state_lost": st.integers(0, 1),
    }
    | dict.fromkeys(
        ("cpu_time", "peak_memory", "oom_kills", "pids_refused", "workspace_full", "tmp_full"),
        st.none() | u64,
    )
)


@given(st.lists(frames, max_size=5), st.data())
def test_frames_survive_being_cut_anywhere(sent: list[tuple[int, int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(frame(kind, job, payload) for kind, job, payload in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    splitter, received = Splitter(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += splitter.feed(stream[start:end])
    assert received == sent


@given(st.lists(frames, max_size=3))
def test_frames_survive_being_cut_at_every_boundary(sent: list[tuple[int, int, bytes]]) -> None:
    stream = b"".join(frame(kind, job, payload) for kind, job, payload in sent)
    splitter = Splitter()
    assert [one for byte in stream for one in splitter.feed(bytes([byte]))] == sent


@given(st.binary(max_size=500), st.integers(1, 50))
def test_a_splitter_raises_nothing_but_protocol_errors(stream: bytes, size: int) -> None:
    splitter = Splitter()
    try:
        for start in range(0, len(stream), size):
            for kind, job, payload in splitter.feed(stream[start : start + size]):
                assert stream.count(frame(kind, job, payload))
    except ProtocolError:
        pass


def test_a_splitter_keeps_less_than_one_frame() -> None:
    splitter = Splitter()
    largest = frame(protocol.STDOUT, 1, bytes(protocol.MAX_PAYLOAD))
    for _ in range(20):
        assert not splitter.feed(largest[:-1])
        assert len(splitter._buffer) < len(largest)
        assert len(splitter.feed(largest[-1:])) == 1
        assert not splitter._buffer


@pytest.mark.parametrize("length", [protocol.MAX_PAYLOAD + 1, 0xFFFFFFFF])
def test_a_frame_too_long_is_refused_by_its_header(length: int) -> None:
    with pytest.raises(ProtocolError, match="bad frame header"):
        Splitter().feed(protocol.HEADER.pack(protocol.STDOUT, 0, 1, length))


def test_a_header_with_a_byte_set_that_must_be_zero_is_refused() -> None:
    with pytest.raises(ProtocolError, match="bad frame header"):
        Splitter().feed(protocol.HEADER.pack(protocol.STDOUT, 1, 1, 0))


PLAIN = {"argv": [b"x"], "env": [], "cwd": b"/", "wall_time": 1.0, "cpu_time": 1.0, "output": 1}
PLAIN |= {"artifacts": [], "artifact_count": 0, "artifact_size": 0, "artifact_bytes": 0}


def read_by_pid_1(pid1: Parts, payload: bytes) -> dict[str, object]:
    """What PID 1 makes of a JOB. Raises Broken."""
    head, _, rest = pid1.call("j", payload).partition(b"\n")
    wall_time, cpu_time, *numbers, session = head.split()
    texts = rest.split(b"\0")
    (cwd, kernel), argv, env, artifacts = ([texts.pop(0) for _ in range(int(texts.pop(0)))] for _ in range(4))
    names = ("output", "artifact_count", "artifact_size", "artifact_bytes")
    return {
        "argv": argv, "env": env, "cwd": cwd, "kernel": kernel, "artifacts": artifacts,
        "wall_time": float.fromhex(wall_time.decode()), "cpu_time": float.fromhex(cpu_time.decode()),
        "session": session == b"1", **dict(zip(names, map(int, numbers), strict=True)),
    }  # fmt: skip


@given(jobs)
def test_pid_1_reads_a_job_as_it_was_packed(pid1: Parts, fields: dict) -> None:
    assert read_by_pid_1(pid1, protocol.pack_job(**fields)) == fields


@given(st.binary(max_size=200) | jobs.map(lambda fields: protocol.pack_job(**fields)), st.data())
def test_pid_1_refuses_a_job_that_is_damaged_or_reads_one_that_can_be_run(
    pid1: Parts, payload: bytes, data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, len(payload)))
    damaged = (
        payload[:position]
        + data.draw(st.binary(max_size=8))
        + payload[position + data.draw(st.integers(0, 8)) :]
    )
    try:
        job = read_by_pid_1(pid1, damaged)
    except Broken:
        return
    assert job["argv"]
    assert 0 < job["wall_time"] <= protocol.MAX_SECONDS
    assert 0 < job["cpu_time"] <= protocol.MAX_SECONDS


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf"), protocol.MAX_SECONDS * 2])
@pytest.mark.parametrize("name", ["wall_time", "cpu_time"])
def test_a_job_needs_finite_positive_times(pid1: Parts, name: str, limit: float) -> None:
    with pytest.raises(Broken, match="seconds"):
        pid1.call("j", protocol.pack_job(**(PLAIN | {name: limit})))


def test_a_kernel_is_for_sessions_alone(pid1: Parts) -> None:
    payload = protocol.pack_job(**PLAIN, kernel=b"python/main")
    with pytest.raises(Broken, match="outside a session"):
        pid1.call("j", payload)
    flags = protocol.pack_job(**PLAIN)[1:]
    with pytest.raises(Broken, match="malformed"):
        pid1.call("j", b"\x02" + flags)


@pytest.mark.parametrize("count", [b"\xff\xff\xff\xff", b"\0\0\0\x03"])
def test_a_count_of_strings_is_not_believed(pid1: Parts, count: bytes) -> None:
    limits = protocol.pack_job(**PLAIN)[: protocol.JOB_LIMITS.size]
    with pytest.raises(Broken, match="within a number"):
        pid1.call("j", limits + count)


@given(st.lists(frames, max_size=5), st.integers(1, 70))
def test_pid_1_takes_the_same_frames_however_they_are_cut(pid1: Parts, sent: list, size: int) -> None:
    stream = b"".join(frame(kind, job, payload) for kind, job, payload in sent)
    taken = pid1.call("f", size.to_bytes(4, "big") + stream)
    assert taken == b"".join(b"%d %d %d\n%s" % (kind, job, len(data), data) for kind, job, data in sent)


@given(st.binary(max_size=500), st.integers(1, 50))
def test_pid_1_refuses_what_the_host_would(pid1: Parts, stream: bytes, size: int) -> None:
    expected: bytes | None = b""
    splitter = Splitter()
    try:
        for start in range(0, len(stream), size):
            for kind, job, data in splitter.feed(stream[start : start + size]):
                expected += b"%d %d %d\n%s" % (kind, job, len(data), data)
    except ProtocolError:
        expected = None
    try:
        assert pid1.call("f", size.to_bytes(4, "big") + stream) == expected
    except Broken:
        assert expected is None


def test_a_frame_of_the_greatest_size_is_taken_and_no_greater(pid1: Parts) -> None:
    largest = frame(protocol.STDIN, 1, bytes(protocol.MAX_PAYLOAD))
    assert len(pid1.call("f", (1 << 15).to_bytes(4, "big") + largest * 2)) > 2 * protocol.MAX_PAYLOAD
    with pytest.raises(Broken, match="header"):
        pid1.call(
            "f", (1 << 15).to_bytes(4, "big") + frame(protocol.STDIN, 1, bytes(protocol.MAX_PAYLOAD + 1))
        )


def test_both_sides_have_the_same_numbers() -> None:
    text = (SOURCE / "protocol.h").read_text()
    theirs = {}
    for line in re.findall(r"^ *([A-Z_]+ = [^,/]+)", text, re.MULTILINE):
        name, _, value = line.partition(" = ")
        theirs[name] = eval(value)
    causes = re.search(r"NO_CAUSE = -1, ([A-Z_, ]+)", text)
    stages = re.search(r"enum stage { ([A-Z_, ]+)", text)
    assert causes
    assert stages
    for names in (causes[1], stages[1]):
        theirs |= {name: number for number, name in enumerate(names.replace(" ", "").split(","))}
    ours = (
        vars(protocol) | vars(patterns) | {"HEADER_SIZE": protocol.HEADER.size, "FILE_BEGIN": protocol.FILE}
    )
    assert theirs == {name: ours[name] for name in theirs}
    assert theirs.keys() >= {name for name in vars(protocol) if name.startswith("MAX_")} - {"MAX_SECONDS"}
    assert len(theirs) > 45


@given(ends)
def test_an_exit_survives_packing(fields: dict) -> None:
    end = Exit.unpack(Exit(**fields).pack())
    assert {name: getattr(end, name) for name in Exit.FIELDS} == fields


@given(
    st.binary(min_size=protocol.EXIT_BODY.size, max_size=protocol.EXIT_BODY.size) | st.binary(max_size=200)
)
def test_an_exit_of_any_bytes_raises_nothing_but_protocol_errors(payload: bytes) -> None:
    try:
        end = Exit.unpack(payload)
    except ProtocolError:
        return
    assert 0 <= end.cause <= protocol.CANCELLED
    assert 0 <= end.wall_time <= protocol.MAX_SECONDS
