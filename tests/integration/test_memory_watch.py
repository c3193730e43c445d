"""What the kernel tells of a memory cgroup, on real ones that a test makes itself."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox_runner.engines.docker import memory_watch
from sandbox_runner.engines.docker.memory_watch import watch_memory
from sandbox_runner.engines.docker.sentry import memory_folder

OUTGROWS = "import sys; sys.stdin.read(1); x = bytearray(1 << 28)"


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def folder():
    """A memory cgroup with a limit of 32 MB, below ours."""
    ours = memory_folder(os.getpid())
    if ours is None:
        pytest.skip("the kernel tells of no memory cgroup here: there is none of version 1")
    made = ours / f"sandbox-runner-test-{secrets.token_hex(4)}"
    made.mkdir()
    for file in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
        (made / file).write_text(str(32 << 20))
    yield made
    if made.exists():
        made.rmdir()


@pytest.fixture
def watch(folder):
    before = descriptors()
    watch = watch_memory(folder)
    assert watch is not None
    yield watch
    watch.close()
    watch.close()
    assert descriptors() == before


def outgrow(folder: Path) -> int:
    """The end of a process whose memory runs out in the cgroup at ``folder``."""
    with subprocess.Popen([sys.executable, "-c", OUTGROWS], stdin=subprocess.PIPE) as process:
        (folder / "cgroup.procs").write_text(str(process.pid))
        process.communicate(b"x")
    return process.returncode


@pytest.mark.parametrize("removed", [False, True], ids=["there", "removed"])
def test_it_is_told_when_memory_ran_out(folder, watch, removed):
    assert outgrow(folder) == -9
    if removed:
        folder.rmdir()
    assert watch.ran_out()
    assert watch.ran_out(), "it is remembered"


def test_a_cgroup_that_goes_did_not_run_out_of_memory(folder, watch, monkeypatch):
    monkeypatch.setattr(memory_watch, "_GONE_TIME", 0.2)
    assert not watch.ran_out()
    folder.rmdir()
    assert not watch.ran_out()


def test_one_that_cannot_be_watched_is_not(tmp_path):
    before = descriptors()
    assert watch_memory(tmp_path) is None
    assert watch_memory(Path("/no/such/folder")) is None
    assert descriptors() == before


def test_of_a_process_that_is_gone_there_is_no_cgroup():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert memory_folder(process.pid) is None
