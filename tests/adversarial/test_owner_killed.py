"""After kill -9 of the process that owns a run, at any moment, nothing is left within 5 seconds.

The owner runs programs one after another, so that a random moment falls into create, attach, start,
run or remove. No later start helps: only the watchdog acts.
SANDBOX_RUNNER_TEST_KILLS says how many are killed.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sandbox_runner.definitions import image_tag
from sandbox_runner.engines.docker.inventory import list_runs, remove_runs

OWNER = Path(__file__).with_name("owner_that_runs.py")
KILLS = int(os.environ.get("SANDBOX_RUNNER_TEST_KILLS", "60"))
BATCH = 4  # owners at once: more only wait for each other on a small machine
LONGEST_RUN = 0.6  # seconds; the moment of the kill is drawn from it
ALLOWED = 5.0


def start_owner(*arguments: str) -> subprocess.Popen[str]:
    owner = subprocess.Popen(
        [sys.executable, str(OWNER), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert int(owner.stdout.readline()) == owner.pid
    return owner


def end(owner: subprocess.Popen[str]) -> None:
    assert owner.wait() == -signal.SIGKILL
    owner.stdin.close()
    owner.stdout.close()


def left_by(client, pid: int) -> list[str]:
    return [f"{run.run_id} {run.state}" for run in list_runs(client) if f":{pid}:" in run.owner]


def wait_until_gone(client, pids: list[int], killed: float) -> dict[int, list[str]]:
    """What each of ``pids`` has left when it is nothing, or when the allowed time is over."""
    while True:
        left = {pid: left_by(client, pid) for pid in pids}
        left = {pid: names for pid, names in left.items() if names}
        if not left or time.monotonic() - killed > ALLOWED:
            return left


@pytest.mark.timeout(900)
def test_kills_at_random_moments_leave_no_container(docker_client, built_image):
    states: dict[str, int] = {}
    for _ in range(KILLS // BATCH):
        owners = [start_owner() for _ in range(BATCH)]
        for owner in owners:
            # The moment is the attack: drawn anew for each, not waited for.
            time.sleep(random.uniform(0, LONGEST_RUN / BATCH))
            for text in left_by(docker_client, owner.pid) or ["none"]:
                state = text.rpartition(" ")[2]
                states[state] = states.get(state, 0) + 1
            os.killpg(owner.pid, signal.SIGKILL)
        killed = time.monotonic()
        for owner in owners:
            end(owner)
        assert wait_until_gone(docker_client, [owner.pid for owner in owners], killed) == {}
    print("what the owners had when they were killed:", states)
    assert len(states) > 2, f"the moments all fell into the same phase: {states}"


@pytest.mark.timeout(300)
def test_kills_leave_no_container_without_an_agent_either(docker_client, built_image):
    for _ in range(5):
        owners = [start_owner(image_tag("base")) for _ in range(BATCH)]
        for owner in owners:
            time.sleep(random.uniform(0, LONGEST_RUN / BATCH))
            os.killpg(owner.pid, signal.SIGKILL)
        killed = time.monotonic()
        for owner in owners:
            end(owner)
        assert wait_until_gone(docker_client, [owner.pid for owner in owners], killed) == {}


@pytest.mark.timeout(300)
def test_kills_leave_no_container_that_waits_either(docker_client, built_image):
    for _ in range(5):
        owners = [start_owner("--pool") for _ in range(2)]
        for owner in owners:
            while not any(run.ahead for run in list_runs(docker_client) if f":{owner.pid}:" in run.owner):
                assert owner.poll() is None
            time.sleep(random.uniform(0, LONGEST_RUN / BATCH))
            os.killpg(owner.pid, signal.SIGKILL)
        killed = time.monotonic()
        for owner in owners:
            end(owner)
        assert wait_until_gone(docker_client, [owner.pid for owner in owners], killed) == {}


@pytest.mark.timeout(300)
def test_kills_of_a_command_line_leave_no_container(docker_client, built_image):
    command = [sys.executable, "-m", "sandbox_runner", "run", "--memory", "64m", "--", "sleep", "60"]
    states: set[str] = set()
    for _ in range(10):
        owners = [subprocess.Popen(command, start_new_session=True) for _ in range(BATCH)]
        for owner in owners:
            time.sleep(random.uniform(0, 2 * LONGEST_RUN / BATCH))
            states.update(text.rpartition(" ")[2] for text in left_by(docker_client, owner.pid))
            os.killpg(owner.pid, signal.SIGKILL)
        killed = time.monotonic()
        assert [owner.wait() for owner in owners] == [-signal.SIGKILL] * BATCH
        assert wait_until_gone(docker_client, [owner.pid for owner in owners], killed) == {}
    assert states, "no moment fell after create"


@pytest.mark.parametrize("watched", [True, False])
def test_a_container_that_was_never_started_is_left_only_without_the_watchdog(
    docker_client, built_image, watched
):
    """The control and its absence: what the tests above rely on is the watchdog and nothing else."""
    owner = start_owner("--die")
    watchdogs = psutil.Process(owner.pid).children()
    assert watchdogs
    while not left_by(docker_client, owner.pid):
        assert owner.poll() is None
    if not watched:
        for watchdog in watchdogs:
            watchdog.kill()
    owner.stdin.write("now\n")
    owner.stdin.flush()
    killed = time.monotonic()
    end(owner)
    left = wait_until_gone(docker_client, [owner.pid], killed)
    remove_runs(docker_client, [run for run in list_runs(docker_client) if f":{owner.pid}:" in run.owner])
    assert bool(left) is not watched
