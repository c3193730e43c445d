"""What the program finds when it starts, what it prints and reads, and how its end is told."""

import signal

import pytest
from agent_client import PYTHON, AgentContainer, StartAgent

from sandbox_runner.agent import protocol

MIB = 1 << 20


def test_started_comes_first_and_exit_last(agent: AgentContainer) -> None:
    result = agent.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (bytes(result.stdout), bytes(result.stderr)) == (b"out\n", b"err\n")
    assert (result.end.cause, result.end.status) == (protocol.EXITED, 3)
    assert (result.kinds[0], result.kinds[-1]) == (protocol.STARTED, protocol.EXIT)


@pytest.mark.parametrize("code", [0, 1, 137, 255])
def test_the_exit_code_is_the_programs_own(agent: AgentContainer, code: int) -> None:
    end = agent.run(["sh", "-c", f"exit {code}"]).end
    assert (end.cause, end.status) == (protocol.EXITED, code)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE])
def test_a_signal_that_ends_the_program_is_told(agent: AgentContainer, number: signal.Signals) -> None:
    end = agent.run(["sh", "-c", f"kill -{int(number)} $$"]).end
    assert (end.cause, end.status) == (protocol.SIGNALED, number)


def test_the_program_has_three_descriptors_its_own_session_and_no_inherited_settings(
    agent: AgentContainer,
) -> None:
    # Not Python, which ignores SIGPIPE itself.
    script = """
        ls /proc/self/fd | tr '\\n' ' '; umask; pwd; env | sort | tr '\\n' ' '
        grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status | cut -f2 | sort -u
        read -r pid name state parent group session rest < /proc/self/stat
        [ "$pid $pid" = "$group $session" ] && [ "$parent" = 1 ] && echo own session
        echo dumpable > /dev/stderr
    """
    result = agent.run(["sh", "-c", script], env=["PATH=/usr/bin:/bin", "A=b=c"])
    lines = result.stdout.decode().splitlines()
    # ls itself has the folder open as 3; sh adds PWD.
    assert lines[0] == "0 1 2 3 0022"
    assert lines[1] == "/workspace"
    assert lines[2].startswith("A=b=c PATH=/usr/bin:/bin PWD=/workspace 0000000000000000")
    assert lines[-1] == "own session"
    assert result.stderr == b"dumpable\n"


def test_a_program_is_found_on_the_path_of_its_own_environment(agent: AgentContainer) -> None:
    agent.send_file("bin/tool", b"#!/bin/sh\necho tool", mode=0o755)
    found = agent.run(["tool"], env=["PATH=/nowhere:/workspace/bin:/bin"])
    assert found.stdout == b"tool\n"
    failed = agent.run(["tool"], env=["PATH=/bin"], job=2).failed
    assert failed == (protocol.STAGE_EXEC, 2, "tool: not found on PATH")


@pytest.mark.parametrize(
    ("argv", "cwd", "errno"),
    [
        (["/no/such"], "/workspace", 2),
        (["./plain"], "/workspace", 13),
        (["./noformat"], "/workspace", 8),
        (["/"], "/workspace", 13),
        ([""], "/workspace", 2),
        (["true"], "/no/such/folder", 2),
        (["true"], "/root", 13),
        (["true", "x" * 200_000], "/workspace", 7),
    ],
)
def test_a_program_that_cannot_be_executed_is_told_by_its_errno(
    agent: AgentContainer, argv: list[str], cwd: str, errno: int
) -> None:
    agent.send_file("plain", b"#!/bin/sh\n", mode=0o644)
    agent.send_file("noformat", b"no program", mode=0o755)
    result = agent.run(argv, cwd=cwd)
    assert result.failed is not None
    assert result.failed[:2] == (protocol.STAGE_EXEC, errno)
    assert agent.run(["true"], job=2).end.cause == protocol.EXITED


def test_a_hundred_mebibytes_of_output_arrive_complete_and_in_order(agent: AgentContainer) -> None:
    code = f"import sys\nfor n in range(100): sys.stdout.buffer.write(bytes([n]) * {MIB})"
    result = agent.run([*PYTHON, code], output=1 << 30)
    assert result.end.stdout_bytes == len(result.stdout) == 100 * MIB
    assert bytes(result.stdout) == b"".join(bytes([n]) * MIB for n in range(100))


def test_single_byte_writes_arrive_complete_in_far_fewer_frames(agent: AgentContainer) -> None:
    code = "import os\nfor n in range(100000): os.write(1 + n % 2, bytes([n % 251]))"
    result = agent.run([*PYTHON, code])
    assert bytes(result.stdout) == bytes(n % 251 for n in range(0, 100_000, 2))
    assert bytes(result.stderr) == bytes(n % 251 for n in range(1, 100_000, 2))
    assert len(result.kinds) < 20_000


def test_output_arrives_while_the_program_runs(agent: AgentContainer) -> None:
    agent.start(["sh", "-c", "echo ready; read answer; echo $answer"])
    assert agent.receive()[0] == protocol.STARTED
    assert agent.receive() == (protocol.STDOUT, 1, b"ready\n")
    agent.send(protocol.STDIN, b"go on\n")
    assert agent.finish().stdout == b"go on\n"


def test_ten_mebibytes_pass_through_stdin_and_back(agent: AgentContainer) -> None:
    data = bytes(range(256)) * (10 * MIB // 256)
    agent.start(["cat"])
    result = agent.exchange(data)
    assert bytes(result.stdout) == data
    assert result.end.cause == protocol.EXITED


def test_no_stdin_is_an_end_of_file_at_once(agent: AgentContainer) -> None:
    assert agent.run(["cat"]).end.cause == protocol.EXITED


@pytest.mark.parametrize("ending", ["exec <&-; ", ""])
def test_a_program_that_does_not_read_its_stdin_blocks_nothing(agent: AgentContainer, ending: str) -> None:
    agent.start(["sh", "-c", ending + "echo ready; exec sleep 1000"])
    assert [agent.receive()[0] for _ in range(2)] == [protocol.STARTED, protocol.STDOUT]
    agent.send(protocol.STDIN, bytes(protocol.STDIN_WINDOW))
    agent.send(protocol.STDIN_EOF)
    agent.send(protocol.CANCEL)
    result = agent.finish()
    assert result.end.cause == protocol.CANCELLED


def test_bytes_for_a_closed_stdin_are_credited(agent: AgentContainer) -> None:
    agent.start(["sh", "-c", "exec <&-; exec sleep 1000"])
    credit = 0
    while credit < 4 * protocol.STDIN_WINDOW:
        agent.send(protocol.STDIN, bytes(protocol.STDIN_WINDOW))
        received = 0
        while received < protocol.STDIN_WINDOW:
            kind, _, payload = agent.receive()
            received += int.from_bytes(payload, "big") if kind == protocol.CREDIT else 0
        credit += received
    agent.send(protocol.CANCEL)
    assert agent.finish().end.cause == protocol.CANCELLED


def test_a_program_that_closes_its_output_goes_on(agent: AgentContainer) -> None:
    result = agent.run(["sh", "-c", "exec 1>&-; exec 2>&-; echo $(seq 100000) > file; exit 5"])
    assert (result.end.cause, result.end.status) == (protocol.EXITED, 5)


def test_signals_go_to_the_process_group_of_the_program(agent: AgentContainer) -> None:
    agent.start(["sh", "-c", "trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.01; done"])
    assert [agent.receive()[0] for _ in range(2)] == [protocol.STARTED, protocol.STDOUT]
    agent.send(protocol.SIGNAL, bytes([signal.SIGINT]))
    result = agent.finish()
    assert (result.stdout, result.end.status) == (b"caught\n", 4)


def test_jobs_follow_one_another_in_the_same_workspace(agent: AgentContainer) -> None:
    agent.run(["sh", "-c", "echo one > file; exit 1"], job=1)
    assert agent.run(["cat", "file"], job=2).stdout == b"one\n"
    for job in range(3, 60):
        assert agent.run(["true"], job=job).end.status == 0


def test_what_arrives_for_a_job_that_is_over_is_dropped(agent: AgentContainer) -> None:
    agent.run(["true"])
    for kind in (protocol.STDIN, protocol.STDIN_EOF, protocol.SIGNAL, protocol.CANCEL, protocol.FILE_DATA):
        agent.send(kind, b"late", job=1)
    assert agent.run(["true"], job=2).end.cause == protocol.EXITED


def test_nothing_of_a_job_is_left_in_the_next(agent: AgentContainer) -> None:
    agent.run(["sh", "-c", "(setsid sleep 1000 &) ; (exec >&- 2>&-; setsid sleep 1000 &); exit 0"])
    shown = agent.run([*PYTHON, "import os; print([p for p in os.listdir('/proc') if p.isdigit()])"], job=2)
    assert len(eval(shown.stdout)) == 2  # PID 1 and Python itself


def test_the_container_ends_with_the_channel_although_a_program_runs(start_agent: StartAgent) -> None:
    agent = start_agent()
    agent.greet()
    agent.start(["sh", "-c", "trap '' TERM INT HUP; (setsid sleep 1000 &); while :; do sleep 1000; done"])
    assert agent.receive()[0] == protocol.STARTED
    assert agent.ended_by_itself()
