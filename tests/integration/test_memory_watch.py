"""What the kernel tells of a memory cgroup, on real ones that a test makes itself."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox_runner.engines.docker.memory_watch import watch_memory
from sandbox_runner.engines.docker.sentry import memory_folder

MIB = 1 << 20
OUTGROWS = "import sys; sys.stdin.read(1); x = bytearray(1 << 28)"
FINE = "import sys; sys.stdin.read(1)"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def made(folder: Path, limit: int | None) -> Path:
    folder.mkdir()
    if limit is not None:
        for file in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
            (folder / file).write_text(str(limit))
    return folder


@pytest.fixture
def above():
    """A memory cgroup below ours that limits nothing."""
    ours = memory_folder(os.getpid())
    if ours is None:
        pytest.skip("there is no memory cgroup of version 1")
    folder = made(ours / f"sandbox-runner-test-{secrets.token_hex(4)}", None)
    yield folder
    for child in [each for each in folder.iterdir() if each.is_dir()]:
        child.rmdir()
    folder.rmdir()


@pytest.fixture
def folder(above):
    return made(above / "container", 32 * MIB)


@pytest.fixture
def watching(folder):
    """Begins a watch, which leaves no descriptor open in the end."""
    before, watches = descriptors(), []

    def begin():
        watches.append(watch_memory(folder))
        assert watches[-1] is not None
        return watches[-1]

    yield begin
    for each in watches:
        each.close()
        each.close()
        assert not each.ran_out(wait=True), "it is closed"
    assert descriptors() == before


def end(folder: Path, program: str) -> int:
    """How a process ends that runs ``program`` in the cgroup at ``folder``."""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as process:
        (folder / "cgroup.procs").write_text(str(process.pid))
        process.communicate(b"x")
    return process.returncode


def test_memory_that_ran_out_is_known_while_the_cgroup_is_there(folder, watching):
    watch = watching()
    assert not watch.ran_out(wait=True)
    assert end(folder, OUTGROWS) == -9
    assert watch.ran_out(wait=False)


def test_it_is_known_when_the_cgroup_is_gone_before_anybody_asks(folder, watching):
    watch = watching()
    assert end(folder, OUTGROWS) == -9
    folder.rmdir()
    assert watch.ran_out(wait=True)
    assert watch.ran_out(wait=False), "it is remembered"


def test_it_is_known_where_the_watch_began_too_late(folder, watching):
    assert end(folder, OUTGROWS) == -9
    watch = watching()
    folder.rmdir()
    assert watch.ran_out(wait=False)


def test_a_cgroup_that_is_merely_gone_did_not_run_out(folder, watching):
    watch = watching()
    assert end(folder, FINE) == 0
    folder.rmdir()
    assert not watch.ran_out(wait=False)
    assert not watch.ran_out(wait=True)


def test_memory_that_ran_out_above_is_not_told_of_one_in_which_nothing_was_killed(above, folder, watching):
    watch = watching()
    for file in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
        (above / file).write_text(str(32 * MIB))
    assert end(made(above / "neighbour", None), OUTGROWS) == -9
    assert not watch.ran_out(wait=True)


def test_what_cannot_be_watched_is_not(tmp_path):
    before = descriptors()
    assert watch_memory(None) is None
    assert watch_memory(tmp_path) is None
    assert watch_memory(tmp_path / "none") is None
    assert descriptors() == before


def test_of_a_process_that_is_gone_there_is_no_cgroup():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert memory_folder(process.pid) is None
