"""What EXIT reports is what the kernel counted for that job."""

import time

from agent_client import PYTHON, AgentContainer, StartAgent

from sandbox_runner.agent import protocol

MIB = 1 << 20
BURN = "import time\nwhile time.process_time() < 0.5: pass"
FORKS = """
import os, signal
for _ in range(200):
    try:
        if not os.fork(): signal.pause()
    except OSError: pass
"""


def test_cpu_time_is_that_of_all_processes_without_the_agents_own(agent: AgentContainer) -> None:
    idle = agent.run(["sleep", "0.2"]).end
    flood = agent.run(["sh", "-c", "head -c 50000000 /dev/zero"], job=2).end
    burn = agent.run(
        ["sh", "-c", f'/usr/bin/python3 -c "{BURN}" & /usr/bin/python3 -c "{BURN}"; wait'], job=3
    ).end
    assert idle.cpu_time is not None
    assert flood.cpu_time is not None
    assert burn.cpu_time is not None
    assert idle.cpu_time < 0.1e9
    assert flood.cpu_time < 1e9
    assert 1e9 <= burn.cpu_time < 2e9


def test_wall_time_does_not_count_the_half_second_left_to_a_daemon(agent: AgentContainer) -> None:
    began = time.monotonic()
    end = agent.run(["sh", "-c", "(setsid sleep 1000 &); exit 0"]).end
    assert 0 < end.wall_time <= time.monotonic() - began - 0.5


def test_peak_memory_is_seen_although_it_was_freed(agent: AgentContainer) -> None:
    end = agent.run([*PYTHON, f"x = b'1' * {200 * MIB}; del x"]).end
    assert end.peak_memory is not None
    assert 200 * MIB < end.peak_memory < 300 * MIB


def test_a_program_that_outgrows_its_memory_is_killed_and_counted(agent: AgentContainer) -> None:
    end = agent.run([*PYTHON, "x = b'1' * (1 << 30)"]).end
    assert (end.cause, end.status) == (protocol.SIGNALED, 9)
    assert end.oom_kills == 1
    assert agent.run(["true"], job=2).end.oom_kills == 0


def test_a_child_that_outgrows_memory_is_counted_where_its_parent_goes_on(agent: AgentContainer) -> None:
    end = agent.run(["sh", "-c", "/usr/bin/python3 -c 'x = b\"1\" * (1 << 30)'; exit 0"]).end
    assert (end.cause, end.status) == (protocol.EXITED, 0)
    assert end.oom_kills == 1


def test_refused_forks_are_counted(agent: AgentContainer) -> None:
    end = agent.run([*PYTHON, FORKS]).end
    assert end.pids_refused is not None
    assert end.pids_refused > 50
    assert agent.run(["true"], job=2).end.pids_refused == 0


def test_a_full_workspace_and_a_full_tmp_are_told_apart(agent: AgentContainer) -> None:
    jobs = (("cat /dev/zero > file", (1, 0)), ("rm file", (0, 0)), ("cat /dev/zero > /tmp/file", (0, 1)))
    for job, (script, expected) in enumerate(jobs, 1):
        end = agent.run(["sh", "-c", script], job=job).end
        assert (end.workspace_full, end.tmp_full) == expected


def test_a_folder_without_inodes_is_full(agent: AgentContainer) -> None:
    code = "n = 0\nwhile True: open(f'/tmp/{n}', 'w').close(); n += 1"
    end = agent.run([*PYTHON, code]).end
    assert (end.workspace_full, end.tmp_full) == (0, 1)


def test_without_control_groups_cpu_time_comes_from_the_processes(start_agent: StartAgent) -> None:
    agent = start_agent(tmpfs={"/workspace": "mode=1777", "/sys/fs/cgroup": "mode=0755"})
    agent.greet()
    burn = agent.run([*PYTHON, BURN]).end
    assert burn.cpu_time is not None
    assert 0.4e9 < burn.cpu_time < 1e9
    assert (burn.peak_memory, burn.oom_kills, burn.pids_refused) == (None, None, None)
    spin = agent.run(["sh", "-c", "while :; do :; done"], cpu_time=0.3, job=2).end
    assert spin.cause == protocol.CPU_LIMIT
