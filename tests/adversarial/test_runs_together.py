"""Runs beside and after each other: nothing of one reaches another or is used up for it."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace

import anyio
import pytest
from attack_runs import IN, Attack, open_descriptors, told, watched_runner

from sandbox_runner import Limits, Principal, RunRequest
from sandbox_runner.engines.docker.inventory import list_runs
from sandbox_runner.errors import ControlNotEnforced


@pytest.mark.anyio
async def test_the_next_run_finds_nothing_of_the_one_before():
    async with watched_runner() as (runner, _):
        first = await runner.run(Attack(file="leave_marks.py").request())
        second = await runner.run(Attack(file="leave_marks.py", args=("look",)).request())
    assert {place for place, answer in told(first).items() if answer in (IN, True)} == {
        "/workspace", "/tmp", "/dev/shm", "segment",
    }  # fmt: skip
    assert told(second) == {"marks": [], "segment": False}


async def _never() -> AsyncIterator[bytes]:
    await anyio.sleep_forever()
    yield b""


async def _watches_left_to_another(without: str) -> list[object]:
    """How many watches a run gets while another holds all that its user can have, and what stops it."""
    get = Attack(file="kernel_objects.py", args=("inotify",), without=without)
    hold = replace(get, stdin=_never())
    async with watched_runner() as (runner, _), runner.stream(hold.request(), Principal(get.name)) as events:
        printed = ""
        async for event in events:
            printed += getattr(event, "text", "")
            if "}" in printed:
                break
        return told(await runner.run(get.request(), Principal(get.name)))["inotify"]


@pytest.mark.anyio
async def test_what_the_kernel_counts_by_user_is_not_used_up_for_another_run():
    assert (await _watches_left_to_another(""))[0] > 100
    assert await _watches_left_to_another("a user id of its own") == [0, "EMFILE"]


def test_a_missing_runtime_is_an_error_and_not_another_runtime(docker_client):
    async def run() -> None:
        async with watched_runner(oci_runtime="no-such-runtime") as (runner, _):
            await runner.run(RunRequest(command=["true"]))

    with pytest.raises(ControlNotEnforced, match="runtime"):
        anyio.run(run)
    assert [run for run in list_runs(docker_client) if f":{os.getpid()}:" in run.owner] == []


def test_sixty_runs_leave_nothing():
    async def run() -> dict[str, list[str]]:
        async with watched_runner() as (runner, engine):
            async with anyio.create_task_group() as tasks:
                for number in range(60):
                    tasks.start_soon(runner.run, RunRequest(command=["true"]), Principal(str(number)))
            return engine.left

    before = open_descriptors()
    left = anyio.run(run)
    assert len(left) == 60
    assert not any(left.values())
    assert open_descriptors() == before


def test_at_the_edge_of_its_deadline_a_run_has_exactly_one_end():
    ends: list[str] = []

    async def at_the_edge(runner, moment: float) -> None:
        request = RunRequest(command=["sleep", f"{moment:.3f}"], limits=Limits(wall_time=0.5))
        async with runner.stream(request) as events:
            ended = [event async for event in events if hasattr(event, "usage")]
            result = await events.result()
        assert len(ended) == 1
        assert ended[0].status == result.status
        ends.append(result.status)

    async def run() -> None:
        async with watched_runner() as (runner, _), anyio.create_task_group() as tasks:
            for number in range(24):
                tasks.start_soon(at_the_edge, runner, 0.46 + number * 0.004)

    anyio.run(run)
    assert len(ends) == 24
    assert set(ends) <= {"exited", "timed_out"}
