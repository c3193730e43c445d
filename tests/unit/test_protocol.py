"""The frames: what one side packs the other unpacks, and anything else is a ProtocolError and no more."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runner.agent import protocol
from sandbox_runner.agent.protocol import Exit, ProtocolError, Splitter, frame

words = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b"0"))
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
        "artifacts": st.lists(st.text(max_size=20).map(lambda text: text.encode()), max_size=3),
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


@given(jobs)
def test_a_job_survives_packing(fields: dict) -> None:
    job = protocol.unpack_job(protocol.pack_job(**fields))
    assert {name: getattr(job, name) for name in fields} == fields


@given(st.binary(max_size=200) | jobs.map(lambda fields: protocol.pack_job(**fields)), st.data())
def test_a_job_that_is_damaged_raises_nothing_but_protocol_errors(
    payload: bytes, data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, len(payload)))
    damaged = (
        payload[:position]
        + data.draw(st.binary(max_size=8))
        + payload[position + data.draw(st.integers(0, 8)) :]
    )
    try:
        job = protocol.unpack_job(damaged)
    except ProtocolError:
        return
    assert job.argv
    assert 0 < job.wall_time <= protocol.MAX_SECONDS
    assert 0 < job.cpu_time <= protocol.MAX_SECONDS
    assert not any(b"\0" in string for string in (job.cwd, *job.argv, *job.env))


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf"), protocol.MAX_SECONDS * 2])
@pytest.mark.parametrize("name", ["wall_time", "cpu_time"])
def test_a_job_needs_finite_positive_times(name: str, limit: float) -> None:
    fields = {"argv": [b"x"], "env": [], "cwd": b"/", "wall_time": 1.0, "cpu_time": 1.0, "output": 1}
    fields |= {"artifacts": [], "artifact_count": 0, "artifact_size": 0, "artifact_bytes": 0}
    with pytest.raises(ProtocolError, match="seconds"):
        protocol.unpack_job(protocol.pack_job(**(fields | {name: limit})))


def test_a_kernel_is_for_sessions_alone() -> None:
    fields = {"argv": [b"x"], "env": [], "cwd": b"/", "wall_time": 1.0, "cpu_time": 1.0, "output": 1}
    payload = protocol.pack_job(**fields, artifacts=[], kernel=b"python/main")
    with pytest.raises(ProtocolError, match="outside a session"):
        protocol.unpack_job(payload)
    flags = protocol.pack_job(**fields, artifacts=[])[1:]
    with pytest.raises(ProtocolError, match="malformed"):
        protocol.unpack_job(b"\x02" + flags)


def test_a_count_of_strings_is_not_believed() -> None:
    with pytest.raises(ProtocolError, match="within a number"):
        protocol.unpack_strings(b"\xff\xff\xff\xff", 0)


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


def test_loading_the_protocol_loads_hardly_anything_else() -> None:
    """In the container each import delays every run."""
    code = f"import sys; sys.path.insert(0, {str(Path(protocol.__file__).parents[1])!r})\n"
    code += "before = set(sys.modules); import agent.loop; print(*sorted(set(sys.modules) - before))"
    shown = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], check=True, capture_output=True, text=True
    )
    ours = {f"agent.{path.stem}" for path in Path(protocol.__file__).parent.glob("*.py")}
    assert (
        set(shown.stdout.split()) - ours - {"agent", "struct", "_struct", "select", "errno", "time"} == set()
    )
