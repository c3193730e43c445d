"""An agent that lies: whatever it says of files, nothing lands outside, and the run comes to an end."""

from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runner.agent import protocol
from sandbox_runner.agent.protocol import frame
from sandbox_runner.engines import agent_lane
from sandbox_runner.engines.agent_lane import AgentLane, ChannelEnded
from sandbox_runner.errors import InvalidRequest
from sandbox_runner.events import Artifact, Event, Exited
from sandbox_runner.spec import ArtifactCaps, Job, ResolvedLimits

LIMITS = ResolvedLimits(
    wall_time=0.05, cpu_time=1, memory=1, cpus=1, pids=1, workspace=1, tmp=1, capture=1, output=1 << 20,
    compile_time=1, compile_memory=1,
)  # fmt: skip
BOUND = 60  # seconds: no test depends on it
END = protocol.Exit(
    cause=protocol.EXITED, status=0, wall_time=0.1, cpu_time=1, peak_memory=1, oom_kills=0, pids_refused=0,
    workspace_full=0, tmp_full=0, stdout_bytes=0, stderr_bytes=0, artifacts_omitted=0, state_lost=0,
)  # fmt: skip


class Liar:
    """The channel of an agent that says its piece, whatever it is told, and is silent for ever after."""

    messages = b""

    def __init__(self, said: bytes) -> None:
        self._said = said

    async def receive(self) -> bytes:
        if not self._said:
            await anyio.sleep_forever()
        data, self._said = self._said[:1000], self._said[1000:]
        return data

    async def send(self, data: bytes) -> None:
        await anyio.lowlevel.checkpoint()


def file(path: bytes, data: bytes, *, size: int | None = None) -> bytes:
    header = protocol.ARTIFACT_BODY.pack(len(data) if size is None else size, 0) + path
    pieces = frame(protocol.ARTIFACT_DATA, 1, data) if data else b""
    return frame(protocol.ARTIFACT, 1, header) + pieces


def heard(said: bytes, out: Path) -> tuple[Exited, list[Event]]:
    """How the run ends when its agent says that. Raises ChannelEnded."""
    job = Job(
        argv=("x",), env={}, cwd="/", files=(), stdin=b"", limits=LIMITS,
        artifacts=("**",), artifact_caps=ArtifactCaps(8, 1 << 16, 1 << 17), out=out,
    )  # fmt: skip
    events: list[Event] = []

    async def emit(event: Event) -> None:
        events.append(event)

    async def listen() -> Exited:
        with anyio.fail_after(BOUND):
            return await AgentLane(Liar(said), "0").execute(job, emit)

    return anyio.run(listen), events


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(agent_lane, "DEADLINE_GRACE", 0.05)
    monkeypatch.setattr(agent_lane, "GIVEBACK_GRACE", 0.05)


def in_folder(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if not p.is_dir()}


def test_files_are_there_when_they_are_told_of(tmp_path):
    exited, events = heard(file(b"a/b", b"1") + frame(protocol.EXIT, 1, END.pack()), tmp_path)
    assert (exited.status, exited.exit_code) == ("exited", 0)
    assert [event.path for event in events if isinstance(event, Artifact)] == ["a/b"]
    assert in_folder(tmp_path) == {"a/b": b"1"}


@pytest.mark.parametrize(
    "said",
    [file(b"a", b"1"), file(b"a", b"1") + file(b"b", b"1", size=9), file(b"a", b"1")[:5]],
    ids=["no end", "half a file", "half a header"],
)
def test_an_agent_that_stalls_is_not_waited_for_and_leaves_nothing(tmp_path, said):
    exited, events = heard(said, tmp_path)
    assert (exited.status, exited.reason) == ("timed_out", "sandbox_broken")
    assert (events, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize(
    "lie",
    [
        file(b"../escaped", b"1"),
        file(b"/tmp/escaped", b"1"),
        file(b"a\0b", b"1"),
        file(b"a", b"1"),
        file(b"b", b"22", size=1),
        file(b"b", b"", size=(1 << 64) - 1),
        file(b"x" * 5000, b"1"),
        frame(protocol.ARTIFACT, 1, b""),
        frame(protocol.ARTIFACT_DATA, 1, b"1"),
        frame(protocol.ARTIFACT, 2, bytes(8) + b"b"),
        protocol.HEADER.pack(protocol.ARTIFACT, 0, 1, protocol.MAX_PAYLOAD + 1),
        b"".join(file(b"%d" % number, b"") for number in range(5000)),
    ],
    ids=["above", "absolute", "NUL", "twice", "longer", "huge", "long name", "no name", "no file",
         "another job", "huge header", "thousands"],
)  # fmt: skip
def test_a_lie_ends_the_run_and_nothing_of_it_stays(tmp_path, lie):
    out = tmp_path / "out"
    with pytest.raises(ChannelEnded):
        heard(file(b"a", b"1") + lie + frame(protocol.EXIT, 1, END.pack()), out)
    assert in_folder(tmp_path) == {}


kinds = st.sampled_from([protocol.ARTIFACT, protocol.ARTIFACT_DATA, protocol.EXIT, protocol.STDOUT, 0x7F])
paths = st.sampled_from([b"a", b"a/b", b"../x", b"/x", b"A", b"a/../b", b"\xff", b""]) | st.binary(max_size=5)
said = st.lists(
    st.builds(file, paths, st.binary(max_size=5))
    | st.builds(frame, kinds, st.just(1), st.binary(max_size=20)),
    max_size=6,
).map(b"".join)


@given(said, st.booleans())
def test_whatever_an_agent_says_only_the_folder_is_written_to(tmp_path_factory, said, ends):
    around = tmp_path_factory.mktemp("around")
    files = {}
    try:
        _, events = heard(
            said + (frame(protocol.EXIT, 1, END.pack()) if ends else b"\1" * 8), around / "a/out"
        )
        files = {f"a/out/{event.path}": event.data for event in events if isinstance(event, Artifact)}
    except (ChannelEnded, InvalidRequest):
        pass
    assert in_folder(around) == files
