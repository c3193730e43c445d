"""Places are bounded, waiting is fair and bounded, and a cancelled waiter leaves nothing behind."""

import anyio
import pytest

from sandbox_runner.capacity import Capacity, Room, room
from sandbox_runner.engines import EngineFacts
from sandbox_runner.errors import QueueFull

pytestmark = pytest.mark.anyio


def capacity(*, sandboxes=1, memory=100, queue_size=10) -> Capacity:
    async def measure() -> Room:
        return Room(sandboxes, memory)

    return Capacity(measure, queue_size=queue_size)


async def occupy(places: Capacity, principal: str, log: list[str], *, memory: int = 1) -> None:
    async with places.place(principal, memory=memory):
        log.append(principal)


async def test_no_more_than_the_room_run_at_once():
    places, running, most = capacity(sandboxes=3), 0, 0

    async def one() -> None:
        nonlocal running, most
        async with places.place("p", memory=1):
            running += 1
            most = max(most, running)
            for _ in range(5):  # long enough for all that may to be in here at once
                await anyio.lowlevel.checkpoint()
            running -= 1

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(one)
    assert (running, most) == (0, 3)


async def test_memory_limits_together_stay_within_the_room():
    places = capacity(sandboxes=10, memory=100)
    async with places.place("p", memory=60):
        with anyio.move_on_after(0) as scope:
            await occupy(places, "p", [], memory=60)
        assert scope.cancelled_caught
        await occupy(places, "p", log := [], memory=40)
    assert log == ["p"]


async def test_a_single_sandbox_always_runs_however_little_room_there_is():
    await occupy(capacity(memory=1), "p", log := [], memory=1000)
    assert log == ["p"]


async def test_principals_take_turns():
    places, log = capacity(), []
    async with anyio.create_task_group() as tasks:
        async with places.place("first", memory=1):
            for principal in ("greedy", "greedy", "greedy", "modest"):
                tasks.start_soon(occupy, places, principal, log)
                await anyio.wait_all_tasks_blocked()
    assert log == ["greedy", "modest", "greedy", "greedy"]


async def test_the_queue_is_bounded_and_says_when_to_come_back():
    places = capacity(queue_size=1)
    async with anyio.create_task_group() as tasks:
        async with places.place("p", memory=1):
            tasks.start_soon(occupy, places, "p", [])
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(QueueFull) as full:
                await occupy(places, "p", [])
    assert full.value.retry_after >= 1


async def test_a_cancelled_waiter_gives_up_its_place():
    places, log = capacity(), []
    async with anyio.create_task_group() as waiting:
        async with places.place("p", memory=1):
            waiting.start_soon(occupy, places, "q", log)
            await anyio.wait_all_tasks_blocked()
            waiting.cancel_scope.cancel()
    await occupy(places, "p", log)
    assert log == ["p"]
    assert not places._queues


async def test_a_waiter_cancelled_as_it_is_admitted_frees_the_place():
    places = capacity()
    async with anyio.create_task_group() as waiting:
        async with places.place("p", memory=1):
            waiting.start_soon(occupy, places, "q", [])
            await anyio.wait_all_tasks_blocked()
        waiting.cancel_scope.cancel()
    assert places._held == []


def test_the_room_comes_from_the_engines_cores_and_memory():
    facts = EngineFacts(cpus=2, memory=1000, local=True)
    assert room(facts, max_concurrent=None) == Room(8, 750)
    assert room(facts, max_concurrent=3) == Room(3, 750)


async def test_a_place_that_is_being_left_lets_one_more_wait():
    places = capacity(queue_size=0)
    async with anyio.create_task_group() as tasks:
        async with places.place("p", memory=1) as place:
            with pytest.raises(QueueFull):
                await occupy(places, "p", [])
            wanted = places.leave(place)
            assert not wanted.is_set()
            tasks.start_soon(occupy, places, "p", log := [])
            await anyio.wait_all_tasks_blocked()
            assert wanted.is_set()
            with pytest.raises(QueueFull):
                await occupy(places, "p", [])
            assert places.leave(place).is_set()
            assert log == []
    assert log == ["p"]


@pytest.mark.parametrize(
    ("sandboxes", "memory", "spare"), [(1, 100, Room(0, 40)), (10, 100, Room(0, 0)), (10, 200, Room(8, 80))]
)
async def test_memory_is_to_spare_where_others_wait_for_a_place_and_none_where_for_memory(
    sandboxes, memory, spare
):
    places, log = capacity(sandboxes=sandboxes, memory=memory), []
    async with anyio.create_task_group() as tasks, places.place("p", memory=60):
        tasks.start_soon(occupy_until_cancelled, places, log)
        await anyio.wait_all_tasks_blocked()
        assert await places.spare() == spare
        assert log == (["q"] if spare.sandboxes else [])
        tasks.cancel_scope.cancel()


async def occupy_until_cancelled(places: Capacity, log: list[str]) -> None:
    async with places.place("q", memory=60):
        log.append("q")
        await anyio.sleep_forever()
