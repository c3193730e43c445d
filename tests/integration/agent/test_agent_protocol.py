"""A host that breaks the protocol is told so, and the container ends."""

import pytest
from agent_client import AgentContainer

from sandbox_runner.agent import protocol
from sandbox_runner.agent.protocol import frame

JOB = protocol.pack_job(
    argv=[b"sleep", b"1000"], env=[], cwd=b"/", wall_time=50, cpu_time=50, output=1, artifacts=[]
)


def _job(**changes: object) -> bytes:
    fields = {
        "argv": [b"true"],
        "env": [],
        "cwd": b"/",
        "wall_time": 1.0,
        "cpu_time": 1.0,
        "output": 1,
        "artifacts": [],
    } | changes
    return frame(protocol.JOB, 1, protocol.pack_job(**fields))  # type: ignore[arg-type]


VIOLATIONS = {
    "a kind that does not exist": frame(0x7F, 1),
    "a frame of the agent": frame(protocol.EXIT, 1),
    "a job number of zero": frame(protocol.JOB, 0, JOB),
    "a job number that is skipped": frame(protocol.JOB, 2, JOB),
    "a header that is none": b"\x04\x01\x00\x01\x00\x00\x00\x00",
    "a frame too long": protocol.HEADER.pack(protocol.STDIN, 0, 1, protocol.MAX_PAYLOAD + 1),
    "stdin before a job": frame(protocol.STDIN, 1, b"x"),
    "a cancellation before a job": frame(protocol.CANCEL, 1),
    "data without a file": frame(protocol.FILE_DATA, 1, b"x"),
    "data after the end of its file": (
        frame(protocol.FILE, 1, b"\0\0\1\xa4x")
        + frame(protocol.FILE_END, 1)
        + frame(protocol.FILE_DATA, 1, b"x")
    ),
    "a file without a name": frame(protocol.FILE, 1, b"\0\0\1\xa4"),
    "a job that is cut short": frame(protocol.JOB, 1, JOB[:-1]),
    "a job with something behind": frame(protocol.JOB, 1, JOB + b"x"),
    "no program": _job(argv=[]),
    "a time that is no number": _job(wall_time=float("nan")),
    "a time without end": _job(cpu_time=float("inf")),
    "a NUL byte in an argument": _job(argv=[b"true", b"a\0b"]),
    "an environment without a name": _job(env=[b"=x"]),
    "a pattern that is not UTF-8": _job(artifacts=[b"\xff*"]),
    "a value that is too long": frame(protocol.VALUE, 1, bytes(protocol.MAX_VALUE)) * 2,
    "a value while a job runs": frame(protocol.JOB, 1, JOB) + frame(protocol.VALUE, 1, b"1"),
    "a second job at once": frame(protocol.JOB, 1, JOB) * 2,
    "a file while a job runs": frame(protocol.JOB, 1, JOB) + frame(protocol.FILE, 1, b"\0\0\1\xa4x"),
    "stdin beyond its credit": (
        frame(protocol.JOB, 1, JOB) + frame(protocol.STDIN, 1, bytes(protocol.STDIN_WINDOW)) * 2
    ),
    "stdin after its end": (
        frame(protocol.JOB, 1, JOB) + frame(protocol.STDIN_EOF, 1) + frame(protocol.STDIN, 1, b"x")
    ),
    "signal 0": frame(protocol.JOB, 1, JOB) + frame(protocol.SIGNAL, 1, b"\0"),
    "signal 65": frame(protocol.JOB, 1, JOB) + frame(protocol.SIGNAL, 1, b"\x41"),
    "a signal without a number": frame(protocol.JOB, 1, JOB) + frame(protocol.SIGNAL, 1),
}


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_a_violation_is_answered_and_ends_the_container(agent: AgentContainer, violation: str) -> None:
    agent.socket.sendall(VIOLATIONS[violation])
    failed = agent.finish().failed
    assert failed is not None
    assert failed[0] == protocol.STAGE_PROTOCOL
    with pytest.raises(EOFError, match=r"^$"):  # PID 1 wrote nothing to its stderr
        agent.receive()


def test_frames_may_arrive_in_any_pieces(agent: AgentContainer) -> None:
    stream = frame(protocol.FILE, 1, b"\0\0\1\xa4name") + frame(protocol.FILE_DATA, 1, b"hello")
    job = {"env": [], "cwd": b"/workspace", "wall_time": 50, "cpu_time": 50, "output": 99}
    job["artifacts"] = []
    stream += frame(protocol.FILE_END, 1)
    stream += frame(protocol.JOB, 1, protocol.pack_job(argv=[b"cat", b"name", b"-"], **job))
    stream += frame(protocol.STDIN, 1, b" world") + frame(protocol.STDIN_EOF, 1)
    for byte in stream:
        agent.socket.sendall(bytes([byte]))
    assert agent.finish().stdout == b"hello world"
