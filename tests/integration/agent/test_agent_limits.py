"""Each limit ends everything, whatever the program does about it, and is told as its own cause."""

import pytest
from agent_client import PYTHON, AgentContainer, StartAgent

from sandbox_runner.agent import protocol

MIB = 1 << 20
SPIN = "while True: pass"
FORK_BOMB = """
import os
while True:
    try: os.fork()
    except OSError: pass
"""
ORPHANS = """
import os
left = 3000
while left:
    try: child = os.fork()
    except BlockingIOError: continue
    if not child:
        try: os.fork()
        finally: os._exit(0)
    os.wait()
    left -= 1
"""
ZOMBIES = """
import os
for _ in range(5000):
    if not os.fork(): os._exit(0)
"""
MEMORY_BOMBS = """
import os
while True:
    try:
        if not os.fork():
            hoard = []
            while True: hoard.append(bytearray(1 << 20))
    except OSError: pass
"""

STUBBORN = {
    "sleeping": ["sleep", "1000"],
    "ignoring signals": ["sh", "-c", "trap '' TERM INT HUP QUIT; while :; do sleep 1; done"],
    "stopped": ["sh", "-c", "kill -STOP $$"],
    "a daemon that left its session": ["sh", "-c", "(setsid sh -c 'sleep 1000' &); sleep 1000"],
    "a fork bomb": [*PYTHON, FORK_BOMB],
    "memory bombs": [*PYTHON, MEMORY_BOMBS],
    "stopped by tracing": [*PYTHON, "import ctypes, os; ctypes.CDLL(None).ptrace(0, 0, 0, 0); os.abort()"],
    "flooding": ["sh", "-c", "yes & yes >&2"],
    "flooding PID 1 with SIGCHLD": [*PYTHON, "import os, signal\nwhile True: os.kill(1, signal.SIGCHLD)"],
    "forking all the time": ["sh", "-c", "while :; do /bin/true; done"],
}  # fmt: skip


@pytest.mark.parametrize("program", STUBBORN)
def test_the_deadline_ends_a_program(agent: AgentContainer, program: str) -> None:
    end = agent.run(STUBBORN[program], wall_time=0.7, output=1 << 40).end
    assert end.cause == protocol.TIMED_OUT
    assert end.wall_time >= 0.7
    assert agent.run(["true"], job=2).end.cause == protocol.EXITED


@pytest.mark.parametrize("program", STUBBORN)
def test_cancelling_ends_a_program(agent: AgentContainer, program: str) -> None:
    agent.start(STUBBORN[program], output=1 << 40)
    assert agent.receive()[0] == protocol.STARTED
    agent.send(protocol.CANCEL)
    assert agent.finish().end.cause == protocol.CANCELLED


def test_cpu_time_is_limited_over_all_processes(agent: AgentContainer) -> None:
    end = agent.run(["sh", "-c", "(while :; do :; done) & while :; do :; done"], cpu_time=0.4).end
    assert end.cause == protocol.CPU_LIMIT
    assert end.cpu_time is not None
    assert end.cpu_time >= 0.4e9


def test_many_short_processes_count_towards_cpu_time(agent: AgentContainer) -> None:
    assert (
        agent.run(["sh", "-c", "while :; do /bin/true; done"], cpu_time=0.3).end.cause == protocol.CPU_LIMIT
    )


def test_where_wall_time_and_cpu_time_are_both_up_it_timed_out(agent: AgentContainer) -> None:
    assert agent.run([*PYTHON, SPIN], wall_time=0.5, cpu_time=0.5).end.cause == protocol.TIMED_OUT


@pytest.mark.parametrize("redirection", ["", ">&2"])
def test_output_is_cut_at_exactly_its_limit(agent: AgentContainer, redirection: str) -> None:
    result = agent.run(["sh", "-c", f"yes {redirection}"], output=MIB + 7)
    assert (result.end.cause, result.end.status) == (protocol.OUTPUT_LIMIT, 0)
    assert len(result.stdout) + len(result.stderr) == MIB + 7
    assert (result.end.stdout_bytes, result.end.stderr_bytes) == (len(result.stdout), len(result.stderr))


def test_output_of_exactly_the_limit_is_no_offence(agent: AgentContainer) -> None:
    end = agent.run(["head", "-c", "100000", "/dev/zero"], output=100_000).end
    assert (end.cause, end.stdout_bytes) == (protocol.EXITED, 100_000)


def test_one_byte_above_the_limit_is_an_offence_also_after_the_program_ended(agent: AgentContainer) -> None:
    for job in range(1, 20):
        end = agent.run(["head", "-c", "100001", "/dev/zero"], output=100_000, job=job).end
        assert (end.cause, end.stdout_bytes) == (protocol.OUTPUT_LIMIT, 100_000)


def test_a_limit_of_no_output_cuts_the_first_byte(agent: AgentContainer) -> None:
    assert agent.run(["true"], output=0).end.cause == protocol.EXITED
    assert agent.run(["echo"], output=0, job=2).end.cause == protocol.OUTPUT_LIMIT


@pytest.mark.parametrize(
    "daemon", ["sleep 1000", "exec >&-; sleep 1000", "exec 2>&-; sleep 1000", "trap '' TERM; kill -STOP $$"]
)
def test_a_daemon_does_not_outlive_the_main_program(agent: AgentContainer, daemon: str) -> None:
    end = agent.run(["sh", "-c", f"(setsid sh -c '{daemon}' &); exit 6"]).end
    assert (end.cause, end.status) == (protocol.EXITED, 6)


def test_what_a_daemon_prints_just_after_the_main_program_is_kept(agent: AgentContainer) -> None:
    daemon = "while kill -0 $0 2> /workspace/log; do :; done; echo late"
    result = agent.run(["sh", "-c", f"(setsid sh -c '{daemon}' $$ &); exit 0"])
    assert result.stdout == b"late\n"


def test_a_daemon_that_floods_after_the_main_program_is_cut_at_the_limit(agent: AgentContainer) -> None:
    result = agent.run(["sh", "-c", "(setsid yes &); exit 0"], output=MIB)
    assert result.end.cause == protocol.OUTPUT_LIMIT
    assert len(result.stdout) == MIB


def test_orphans_are_reaped_while_the_program_runs(start_agent: StartAgent) -> None:
    agent = start_agent(pids_limit=64)
    agent.greet()
    result = agent.run([*PYTHON, ORPHANS])
    assert (result.end.cause, result.end.status) == (protocol.EXITED, 0), result.stderr


def test_thousands_of_zombies_are_reaped_after_their_parent(start_agent: StartAgent) -> None:
    agent = start_agent(pids_limit=8192)
    agent.greet()
    result = agent.run([*PYTHON, ZOMBIES])
    assert (result.end.cause, result.end.status) == (protocol.EXITED, 0), result.stderr
    assert agent.run(["true"], job=2).end.cause == protocol.EXITED


def test_a_host_that_reads_nothing_delays_neither_the_deadline_nor_costs_memory(
    agent: AgentContainer,
) -> None:
    agent.start(["sh", "-c", "yes & exec yes"], wall_time=1, output=1 << 40)
    while len(agent.processes()) > 1:
        pass  # nothing is read: only PID 1 is left once it has kept the deadline
    result = agent.finish()
    assert result.end.cause == protocol.TIMED_OUT
    assert result.end.stdout_bytes == len(result.stdout)
    shown = agent.run(["grep", "VmHWM", "/proc/1/status"], job=2).stdout
    assert int(shown.split()[1]) < 16 * 1024  # KiB


def test_a_host_that_reads_nothing_can_cancel(agent: AgentContainer) -> None:
    agent.start(["yes"], output=1 << 40)
    agent.send(protocol.CANCEL)
    while len(agent.processes()) > 1:
        pass
    assert agent.finish().end.cause == protocol.CANCELLED
