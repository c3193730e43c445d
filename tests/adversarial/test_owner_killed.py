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
from collections import Counter

import psutil
import pytest
from owners import kill, nursery, wait_for_end

from sandbox_runner.definitions import image_tag
from sandbox_runner.engines.docker.inventory import list_runs, remove_runs

KILLS = int(os.environ.get("SANDBOX_RUNNER_TEST_KILLS", "60"))
BATCH = 4  # owners at once: more only wait for each other on a small machine
LONGEST_RUN = 0.6  # seconds; the moment of the kill is drawn from it
ALLOWED = 5.0


@pytest.fixture(scope="module")
def owners():
    with nursery() as started:
        yield started


def left_by(client, *owners: int) -> list[str]:
    """The states of what they have."""
    marks = [f":{owner}:" for owner in owners]
    return [run.state for run in list_runs(client) if any(mark in run.owner for mark in marks)]


def left_later(client, owners: list[int], killed: float) -> list[str]:
    """What they have left when it is nothing, or when the allowed time is over."""
    wait_for_end(owners)
    while (left := left_by(client, *owners)) and time.monotonic() - killed < ALLOWED:
        pass
    return left


@pytest.mark.timeout(900)
def test_kills_at_random_moments_leave_no_container(docker_client, built_image, owners):
    states: Counter[str] = Counter()
    for _ in range(KILLS // BATCH):
        batch = owners.start(BATCH)
        for owner in batch:
            # The moment is the attack: drawn anew for each, not waited for.
            time.sleep(random.uniform(0, LONGEST_RUN / BATCH))
            states.update(left_by(docker_client, owner) or ["none"])
            kill(owner)
        assert left_later(docker_client, batch, time.monotonic()) == []
    print("what the owners had when they were killed:", states)
    assert len(states) > 2, f"the moments all fell into the same phase: {states}"


@pytest.mark.timeout(300)
def test_kills_leave_no_container_without_an_agent_either(docker_client, built_image, owners):
    for _ in range(5):
        batch = owners.start(BATCH, image_tag("base"))
        for owner in batch:
            time.sleep(random.uniform(0, LONGEST_RUN / BATCH))
            kill(owner)
        assert left_later(docker_client, batch, time.monotonic()) == []


@pytest.mark.timeout(300)
def test_kills_leave_no_container_that_waits_either(docker_client, built_image, owners):
    for _ in range(5):
        batch = owners.start(2, "--pool")
        for owner in batch:
            while not any(run.ahead for run in list_runs(docker_client) if f":{owner}:" in run.owner):
                assert psutil.pid_exists(owner)
            time.sleep(random.uniform(0, LONGEST_RUN / BATCH))
            kill(owner)
        assert left_later(docker_client, batch, time.monotonic()) == []


@pytest.mark.timeout(300)
def test_kills_of_a_command_line_leave_no_container(docker_client, built_image):
    command = [sys.executable, "-m", "sandbox_runner", "run", "--memory", "64m", "--", "sleep", "60"]
    begun = time.monotonic()
    first = subprocess.Popen(command, start_new_session=True)
    while not left_by(docker_client, first.pid):
        assert first.poll() is None
    longest = 3 * (time.monotonic() - begun)  # so that moments fall before create and after it, on any load
    kill(first.pid)
    assert first.wait() == -signal.SIGKILL
    assert left_later(docker_client, [first.pid], time.monotonic()) == []
    states: set[str] = set()
    for _ in range(10):
        batch = [subprocess.Popen(command, start_new_session=True) for _ in range(BATCH)]
        for owner in batch:
            time.sleep(random.uniform(0, longest / BATCH))
            states.update(left_by(docker_client, owner.pid))
            kill(owner.pid)
        killed = time.monotonic()
        assert [owner.wait() for owner in batch] == [-signal.SIGKILL] * BATCH
        assert left_later(docker_client, [owner.pid for owner in batch], killed) == []
    assert states, "no moment fell after create"


@pytest.mark.parametrize("watched", [True, False])
def test_a_container_that_was_never_started_is_left_only_without_the_watchdog(
    docker_client, built_image, owners, watched
):
    """The control and its absence: what the tests above rely on is the watchdog and nothing else."""
    (owner,) = owners.start(1, "--hold")
    watchdogs = psutil.Process(owner).children()
    assert watchdogs
    while not left_by(docker_client, owner):
        assert psutil.pid_exists(owner)
    if not watched:
        for watchdog in watchdogs:
            watchdog.kill()
    kill(owner)
    left = left_later(docker_client, [owner], time.monotonic())
    remove_runs(docker_client, [run for run in list_runs(docker_client) if f":{owner}:" in run.owner])
    assert bool(left) is not watched
