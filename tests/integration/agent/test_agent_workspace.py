"""Files arrive below the workspace as they were sent, and nowhere else, whatever a former job left there."""

import pytest
from agent_client import PYTHON, AgentContainer

from sandbox_runner.agent import protocol

MIB = 1 << 20


def test_files_arrive_with_their_folders_and_modes(agent: AgentContainer) -> None:
    agent.send_file("a/b/c.txt", b"deep")
    agent.send_file("run.sh", b"#!/bin/sh\ncat a/b/c.txt; stat -c '%a %n' run.sh secret a a/b", mode=0o755)
    agent.send_file("secret", b"", mode=0o6400)
    result = agent.run(["./run.sh"])
    assert result.stdout == b"deep755 run.sh\n400 secret\n755 a\n755 a/b\n"


def test_a_file_of_fifty_mebibytes_arrives_whole(agent: AgentContainer) -> None:
    data = bytes(range(256)) * (50 * MIB // 256)
    agent.send_file("big", data)
    code = f"print(open('big', 'rb').read() == bytes(range(256)) * {50 * MIB // 256})"
    assert agent.run([*PYTHON, code]).stdout == b"True\n"


def test_a_name_need_not_be_text(agent: AgentContainer) -> None:
    agent.send(protocol.FILE, (0o644).to_bytes(4, "big") + b"\xff \n\xe4")
    agent.send(protocol.FILE_END)
    assert agent.run([*PYTHON, "import os; print(os.listdir(b'.'))"]).stdout == b"[b'\\xff \\n\\xe4']\n"


@pytest.mark.parametrize("path", ["/tmp/x", "../x", "a/../../x", "a/..", ".", "a//b", "a/", "./x", "x\0y"])
def test_a_path_that_is_not_plain_is_refused(agent: AgentContainer, path: str) -> None:
    agent.send_file(path, b"x")
    failed = agent.finish().failed
    assert failed is not None
    assert failed[:2] == (protocol.STAGE_FILE, 22)
    shown = agent.run(["find", "/workspace", "/tmp"], job=2).stdout
    assert shown == b"/workspace\n/tmp\n"


def test_no_link_is_followed(agent: AgentContainer) -> None:
    agent.run(
        ["sh", "-c", "ln -s /tmp away; ln -s /tmp/victim file; echo mine > keep; ln keep hard; mkfifo fifo"]
    )
    agent.send_file("away/x", b"x", job=2)
    failed = agent.finish(job=2).failed
    assert failed is not None
    assert failed[0] == protocol.STAGE_FILE
    for name in ("file", "hard", "fifo"):
        agent.send_file(name, b"new", job=3)
    shown = agent.run(["sh", "-c", "cat file hard fifo keep; ls /tmp"], job=3)
    assert shown.stdout == b"newnewnewmine\n"


def test_a_folder_in_the_way_is_an_error(agent: AgentContainer) -> None:
    agent.send_file("a/b", b"x")
    agent.send_file("a", b"x")
    failed = agent.finish().failed
    assert failed is not None
    assert failed[0] == protocol.STAGE_FILE
    assert "Is a directory" in failed[2]


def test_a_workspace_that_is_full_says_so_and_the_next_job_runs(agent: AgentContainer) -> None:
    agent.send_file("big", bytes(257 * MIB))
    agent.start(["true"])  # dropped with the rest of the job
    failed = agent.finish().failed
    assert failed is not None
    assert failed[:2] == (protocol.STAGE_FILE, 28)
    assert "No space left on device" in failed[2]
    assert agent.run(["rm", "big"], job=2).end.status == 0
