"""Locks between processes: one has them at a time, a dead one has none, and a stranger never."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sandbox_runner.locks import lock
from sandbox_runner.provision.turns import one_at_a_time

NOBODY = 65534
WAIT = 60  # seconds: a bound for a loaded machine, no test depends on it
HOLDS = """
import sys
from pathlib import Path
from sandbox_runner.locks import lock
free = lock(Path(sys.argv[1]))
print(free is not None, flush=True)
sys.stdin.read()
"""
STRANGER = f"""
import fcntl, os, sys
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
held = []
for name in sys.argv[1:]:
    try:
        held.append(os.open(name, os.O_RDONLY))
        fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        print("held", flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
sys.stdin.read()
"""
COUNTS = """
import sys
from pathlib import Path
from sandbox_runner.locks import lock
count = Path(sys.argv[2])
for _ in range(100):
    while (free := lock(Path(sys.argv[1]))) is None:
        pass
    count.write_text(str(int(count.read_text()) + 1))
    free()
"""


@contextmanager
def running(program, *arguments):
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate(timeout=WAIT)


def test_one_process_has_it_and_the_next_one_when_that_is_killed(tmp_path):
    file = tmp_path / "it.lock"
    with running(HOLDS, file) as holder:
        assert holder.stdout.readline() == "True\n"
        assert lock(file) is None
        holder.send_signal(signal.SIGKILL)
        holder.wait(WAIT)
        free = lock(file)
        assert free is not None
        assert lock(file) is None, "this process has it already"
        with running(HOLDS, file) as another:
            assert another.stdout.readline() == "False\n"
        free()
    assert list(file.parent.iterdir()) == []


def test_where_the_folder_was_removed_the_next_one_makes_it_again(tmp_path):
    folder = tmp_path / "state"
    assert lock(folder / "it.lock") is None
    for _ in range(2):
        with one_at_a_time(folder, [].append):
            assert [file.name for file in folder.iterdir()] == ["setup.lock"]
        assert not folder.exists()


def test_processes_that_want_it_at_once_have_it_one_after_another(tmp_path):
    count = tmp_path / "count"
    count.write_text("0")
    command = [sys.executable, "-c", COUNTS, tmp_path / "it.lock", count]
    with ThreadPoolExecutor(4) as threads:
        ended = list(threads.map(lambda _: subprocess.run(command, timeout=WAIT).returncode, range(4)))
    assert ended == [0] * 4
    assert count.read_text() == "400"


@pytest.fixture
def public_folder():
    """One that every user can look into, as /var/lib/sandbox-runner."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_stranger_cannot_hold_it_and_does_not_keep_a_setup_waiting(public_folder):
    assert os.geteuid() == 0, "this test acts as another user: run it as root"
    file = public_folder / "setup.lock"
    free = lock(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    told = []
    with running(STRANGER, public_folder, file, public_folder / "new.lock") as stranger:
        assert stranger.stdout.readline() == "held\n", "the attack on the folder itself"
        assert stranger.stdout.readline() == "Permission denied\n"
        assert stranger.stdout.readline() == "No such file or directory\n"
        free()
        with one_at_a_time(public_folder, told.append):
            pass
    assert told == []
