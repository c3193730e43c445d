"""Waiting containers on the real engine: each serves one run, is replaced, gives way, and none is left."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
import pytest
from anyio import to_thread

from sandbox_runner import Config, Limits, Runner, RunRequest
from sandbox_runner.capacity import Room
from sandbox_runner.definitions import image_tag
from sandbox_runner.engines.docker.inventory import list_runs
from sandbox_runner.pool import Pool

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]
MIB = 1 << 20
ROOM = Room(8, 64 << 30)
FIRST_VISIT = "test ! -e /tmp/was-here && touch /tmp/was-here"


class Watched:
    """An engine that remembers which container served each run."""

    def __init__(self, engine) -> None:
        self.engine = engine
        self.served: list[str] = []
        self.image, self.facts = engine.image, engine.facts

    @asynccontextmanager
    async def create(self, spec):
        async with self.engine.create(spec) as container:
            self.served.append(container.id)
            yield container


@asynccontextmanager
async def pooled(*, room: Room = ROOM, **settings) -> AsyncIterator[tuple[Runner, Pool, list[str]]]:
    """A runner with a pool, the pool, and the ids of the containers that served its runs."""
    async with Runner.open(Config(**settings), pool=True) as runner:
        pool = runner._engine
        runner._capacity._room = room  # what the machine has free is not the tests' doing
        runner._engine = Watched(pool)
        yield runner, pool, runner._engine.served


async def until(pool: Pool, condition: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not condition():
            await pool._changed.wait()


def one_waits(pool: Pool) -> Callable[[], bool]:
    return lambda: len(pool.waiting) == 1


def shell(script: str = FIRST_VISIT, **request) -> RunRequest:
    return RunRequest(command=["sh", "-c", script], **request)


async def prepared(runner: Runner, pool: Pool, **request) -> str:
    """The id of the one container that waits after a first run."""
    assert (await runner.run(shell(**request))).ok
    await until(pool, one_waits(pool))
    return pool.waiting[0]


async def test_every_run_has_a_container_that_no_run_had_before():
    async with pooled() as (runner, pool, served):
        for _ in range(20):
            assert (await runner.run(shell())).ok
        await until(pool, lambda: bool(pool.waiting))
        assert not set(pool.waiting) & set(served)
    assert len(set(served)) == 20


async def test_a_run_takes_the_container_that_waits_and_another_is_started():
    async with pooled() as (runner, pool, served):
        waited = await prepared(runner, pool)
        result = await runner.run(shell("echo hi; id -u"))
        assert served[-1] == waited
        assert result.stdout.startswith("hi\n")
        await until(pool, one_waits(pool))
        assert pool.waiting != [waited]


async def test_many_at_once_each_get_their_own():
    async with pooled() as (runner, pool, served):
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                for _ in range(12):
                    tasks.start_soon(runner.run, shell())
        assert len(set(served)) == 24
        await until(pool, lambda: len(pool.waiting) >= 3)


async def test_the_pool_grows_with_the_demand_and_not_above_its_bound():
    async with pooled(pool_max=2) as (runner, pool, _):
        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(runner.run, shell())
        await until(pool, lambda: len(pool.waiting) == 2)
        (shelf,) = pool._shelves.values()
        assert (shelf.demand.target, shelf.count) == (2, 2)


async def test_what_a_caller_sees_is_the_run_it_asked_for(docker_client):
    run_id = secrets.token_hex(8)
    async with pooled() as (runner, pool, _):
        await prepared(runner, pool)
        async with runner.stream(
            shell("echo $WORD; cat", env={"WORD": "hi"}, stdin=b"in"), run_id=run_id
        ) as run:
            events = [event async for event in run]
            result = await run.result()
    assert events[0].run_id == result.run_id == run_id
    assert result.stdout == "hi\nin"


@pytest.mark.parametrize(
    "limits",
    [Limits(wall_time=5), Limits(cpu_time=2), Limits(output=MIB, capture=10)],
    ids=["wall_time", "cpu_time", "output"],
)
async def test_limits_that_travel_with_the_job_use_the_pool(limits):
    async with pooled() as (runner, pool, served):
        waited = await prepared(runner, pool)
        assert (await runner.run(shell(limits=limits))).ok
        assert served[-1] == waited


async def test_they_hold_in_a_container_that_waited():
    async with pooled() as (runner, pool, served):
        waited = await prepared(runner, pool)
        result = await runner.run(shell("sleep 60", limits=Limits(wall_time=0.5)))
        assert (served[-1], result.status) == (waited, "timed_out")
        await until(pool, one_waits(pool))
        result = await runner.run(shell("while :; do :; done", limits=Limits(cpu_time=0.3)))
        assert result.status == "cpu_limit"
        await until(pool, one_waits(pool))
        assert (await runner.run(shell("yes", limits=Limits(output=MIB)))).status == "output_limit"
        assert len(set(served)) == 4


async def test_limits_of_the_container_bypass_the_pool():
    async with pooled() as (runner, pool, served):
        waited = await prepared(runner, pool)
        result = await runner.run(
            shell("cat /sys/fs/cgroup/memory/memory.limit_in_bytes", limits=Limits(memory="64m"))
        )
        assert served[-1] != waited
        assert waited in pool.waiting
        assert result.stdout == f"{64 * MIB}\n"


async def test_one_that_died_is_replaced_and_never_handed_out(docker_client):
    async with pooled() as (runner, pool, served):
        waited = await prepared(runner, pool)
        await to_thread.run_sync(docker_client.kill, waited)
        await until(pool, lambda: one_waits(pool)() and pool.waiting != [waited])
        assert (await runner.run(shell())).ok
        assert waited not in served


async def test_one_that_dies_as_it_is_handed_out_is_not_used(docker_client):
    async with pooled() as (runner, pool, served):
        waited = await prepared(runner, pool)
        docker_client.kill(waited)  # on this thread: the pool cannot have heard of it
        assert (await runner.run(shell())).ok
        assert waited not in served


async def test_an_image_that_a_name_no_longer_means_is_not_handed_out(docker_client):
    name = f"sandbox-runner-test-{secrets.token_hex(4)}"
    docker_client.tag(image_tag("shell"), name)
    try:
        async with pooled() as (runner, pool, served):
            waited = await prepared(runner, pool, image=f"{name}:latest")
            docker_client.tag(image_tag("node"), name)
            result = await runner.run(shell("command -v node", image=f"{name}:latest"))
            assert result.ok
            assert waited not in served
            assert waited not in pool.waiting
    finally:
        docker_client.remove_image(name)


async def test_what_no_run_needs_is_given_back(docker_client):
    async with pooled() as (runner, pool, _):
        waited = await prepared(runner, pool)
        (shelf,) = pool._shelves.values()
        shelf.demand.due = anyio.current_time()  # its time is over
        pool.look_again()
        await until(pool, lambda: not pool.waiting and not pool._shelves)
        assert await gone(docker_client, runner, waited)


async def test_a_run_that_needs_the_memory_gets_it_from_those_that_wait(docker_client):
    async with pooled(room=Room(8, 1024 * MIB)) as (runner, pool, _):
        waited = await prepared(runner, pool)  # of 512 MiB
        async with runner.stream(shell("echo up; cat", limits=Limits(memory="1g"), stdin=endless())) as run:
            async for _ in run:
                break
            assert pool.waiting == []
            assert await gone(docker_client, runner, waited)
        await until(pool, lambda: bool(pool.waiting))


async def test_nothing_is_started_ahead_where_there_is_no_memory_for_it():
    async with pooled(room=Room(8, 768 * MIB)) as (runner, pool, _):
        async with runner.stream(shell("cat", stdin=endless())):
            assert (await pool._capacity.spare()).memory == 256 * MIB
            await anyio.wait_all_tasks_blocked()
            assert pool.waiting == []
            assert not any(shelf.starting for shelf in pool._shelves.values())
        await until(pool, one_waits(pool))


async def test_an_image_without_the_agent_never_waits():
    async with pooled() as (runner, pool, _):
        assert (await runner.run(RunRequest(command=["true"], image=image_tag("base")))).ok
        assert not pool._shelves


async def test_the_engines_list_tells_those_that_were_started_ahead(docker_client):
    async with pooled() as (runner, pool, _):
        waited = await prepared(runner, pool)
        (listed,) = [run for run in list_runs(docker_client) if run.container_id == waited]
        assert (listed.ahead, listed.principal, listed.state) == (True, "", "running")
        assert listed.instance == runner.instance
        assert listed.deadline > listed.created + Config().max_wall_time


async def test_the_result_is_there_before_the_container_is_gone():
    async with Runner.open() as runner:
        runner._engine = SlowToRemove(runner._engine)
        assert (await runner.run(shell("echo hi"))).stdout == "hi\n"
        assert len(runner._capacity._held) == 1, "it still has its place"
        assert not runner._engine.gone
        runner._engine.may_go.set()
    assert runner._engine.gone
    assert runner._capacity._held == []


@pytest.mark.parametrize("pool", [False, True])
async def test_a_run_that_is_cancelled_is_gone_when_the_caller_goes_on(docker_client, pool):
    async with Runner.open(pool=pool) as runner:
        with suppress(TimeoutError), anyio.fail_after(1):
            await runner.run(shell("sleep 60"))
        mine = await to_thread.run_sync(partial(list_runs, docker_client, instance=runner.instance))
        assert [run for run in mine if not run.ahead and run.state != "removing"] == []


class SlowToRemove:
    """An engine that removes nothing until it may."""

    def __init__(self, engine) -> None:
        self._engine = engine
        self.image, self.facts = engine.image, engine.facts
        self.may_go = anyio.Event()
        self.gone = False

    @asynccontextmanager
    async def create(self, spec):
        try:
            async with self._engine.create(spec) as container:
                try:
                    yield container
                finally:
                    with anyio.CancelScope(shield=True):
                        await self.may_go.wait()
        finally:
            self.gone = True


async def endless() -> AsyncIterator[bytes]:
    await anyio.sleep_forever()
    yield b""


async def gone(client, runner: Runner, container: str) -> bool:
    with anyio.move_on_after(5):
        while container in [
            run.container_id
            for run in await to_thread.run_sync(partial(list_runs, client, instance=runner.instance))
        ]:
            pass
        return True
    return False


async def test_on_oci_one_that_waits_serves_runs_of_other_sizes():
    async with pooled(engine="oci") as (runner, pool, served):
        waited = await prepared(runner, pool)
        result = await runner.run(
            shell("head -c 200m /dev/zero | tail -c 150m | wc -c", limits=Limits(memory="64m"))
        )
        assert served[-1] == waited
        assert result.limits_hit.get("memory")
        await until(pool, one_waits(pool))
        waited = pool.waiting[0]
        result = await runner.run(
            shell("ulimit -v; cat /sys/fs/cgroup/pids/pids.max", limits=Limits(pids=17))
        )
        assert served[-1] == waited
        assert result.stdout.splitlines()[-1] == "17"
