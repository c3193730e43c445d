"""What the pool does where moments decide, on the engine in memory. Its promises have tests on a real one."""

from contextlib import asynccontextmanager

import anyio
import pytest

from sandbox_runner import Config, Limits, RunRequest
from sandbox_runner.capacity import Room
from sandbox_runner.errors import StartFailed
from sandbox_runner.testing import FakeEngine, Reply, fake_runner_on

pytestmark = pytest.mark.anyio
MIB = 1 << 20


@pytest.fixture(autouse=True)
def removed_at_once(monkeypatch) -> None:
    """What a run has used goes as soon as its result is there."""
    monkeypatch.setattr("sandbox_runner.runner._ANSWERING", 0)


class SlowEngine(FakeEngine):
    """Each start waits until it may go on. ``resizes`` nothing, as Docker."""

    resizes = ()

    def __init__(self) -> None:
        super().__init__(lambda job: Reply())
        self.gates: list[anyio.Event] = []
        self.slow = False
        self.begun = anyio.Event()

    @asynccontextmanager
    async def create(self, spec):
        if self.slow:
            gate = anyio.Event()
            self.gates.append(gate)
            self.begun.set()
            await gate.wait()
        async with super().create(spec) as container:
            yield container


@asynccontextmanager
async def pooled(engine, *, room=Room(8, 64 << 30), **settings):  # noqa: B008 - it is immutable
    async with fake_runner_on(engine, config=Config(**settings), pool=True) as runner:
        runner._capacity._room = room
        yield runner, runner._engine


REQUEST = RunRequest(command=["true"])


async def settled() -> None:
    for _ in range(5):
        await anyio.wait_all_tasks_blocked()


async def until(pool, condition) -> None:
    with anyio.fail_after(10):
        while not condition():
            await pool._changed.wait()


async def test_a_run_waits_for_the_container_that_is_being_started_and_starts_none_beside_it():
    engine, done = SlowEngine(), []
    async with pooled(engine) as (runner, _pool):
        engine.slow = True
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                done.append(await runner.run(REQUEST))

            tasks.start_soon(run)
            await settled()
            engine.gates[0].set()  # the cold one; another is started ahead
            await settled()
            assert (len(done), len(engine.gates)) == (1, 2)
            tasks.start_soon(run)
            await settled()
            first = len(engine.gates)
            engine.gates[1].set()
            await settled()
            assert len(done) == 2
            engine.slow = False
            for gate in engine.gates:
                gate.set()
    assert first <= 3, "the run itself started none"


async def test_where_the_start_that_a_run_waits_for_fails_the_run_starts_its_own():
    engine = SlowEngine()
    async with pooled(engine) as (runner, pool):
        assert (await runner.run(REQUEST)).ok
        await until(pool, lambda: bool(pool.waiting))
        engine.slow = True
        assert (await runner.run(REQUEST)).ok  # takes the one that waits
        await engine.begun.wait()
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                with pytest.raises(StartFailed):
                    await runner.run(REQUEST)

            tasks.start_soon(run)
            await settled()
            engine.refusal = StartFailed("no")
            engine.slow = False
            for gate in engine.gates:
                gate.set()


async def test_a_run_that_gives_up_waiting_leaves_the_container_to_the_next():
    engine = SlowEngine()
    async with pooled(engine) as (runner, pool):
        assert (await runner.run(REQUEST)).ok
        await until(pool, lambda: bool(pool.waiting))
        engine.slow = True
        assert (await runner.run(REQUEST)).ok
        await engine.begun.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run, REQUEST)
            await settled()
            tasks.cancel_scope.cancel()
        engine.slow = False
        for gate in engine.gates:
            gate.set()
        await settled()
        assert len(pool.waiting) == sum(shelf.count for shelf in pool._shelves.values()) >= 1


async def test_kinds_share_the_places():
    engine = SlowEngine()
    async with pooled(engine, pool_max=4) as (runner, pool):
        for megabytes in (64, 128):
            for _ in range(6):
                async with anyio.create_task_group() as tasks:
                    for _ in range(4):
                        tasks.start_soon(
                            runner.run, RunRequest(command=["true"], limits=Limits(memory=megabytes * MIB))
                        )
        await until(pool, lambda: sorted(len(each.waiting) for each in pool._shelves.values()) == [2, 2])


async def test_while_others_wait_for_a_place_nothing_is_started_ahead():
    engine = SlowEngine()
    async with pooled(engine, room=Room(1, 64 << 30)) as (runner, pool):
        engine.slow = True
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(runner.run, REQUEST)
            await settled()
            assert len(engine.gates) == 1
            tasks.cancel_scope.cancel()
        assert len(engine.gates) == 1 or pool.waiting == []


async def test_a_failing_engine_is_not_asked_again_until_a_run_wants_something():
    engine = SlowEngine()
    async with pooled(engine) as (runner, pool):
        assert (await runner.run(REQUEST)).ok
        await until(pool, lambda: bool(pool.waiting))
        engine.refusal = StartFailed("no")
        assert (await runner.run(REQUEST)).ok  # it waits already
        await until(pool, lambda: not pool._shelves)
        assert pool.waiting == []


async def test_with_a_pool_the_engine_that_resizes_has_one_kind_for_all_sizes():
    engine = FakeEngine(lambda job: Reply(peak_memory=100 * MIB))
    async with pooled(engine) as (runner, pool):
        assert (await runner.run(REQUEST)).ok
        await until(pool, lambda: bool(pool.waiting))
        (waiting,) = pool.waiting
        small = RunRequest(command=["true"], limits=Limits(memory=64 * MIB))
        assert (await runner.run(small)).status == "out_of_memory"
        await settled()
        assert len(pool._shelves) == 1
        assert waiting not in engine.live


async def test_what_waits_stays_for_those_who_wait_for_a_place():
    gates = [anyio.Event()]
    gates[0].set()

    async def answer(_job) -> Reply:
        await gates[-1].wait()
        return Reply()

    async with pooled(FakeEngine(answer), room=Room(1, 64 << 30), pool_min=3, pool_max=3) as (runner, pool):
        await runner.run(REQUEST)
        await until(pool, lambda: len(pool.waiting) == 3)
        gates.append(anyio.Event())
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(runner.run, REQUEST)
            await settled()
            assert len(pool.waiting) == 2, "one has been taken, and two runs wait for its place"
            gates[-1].set()


async def test_a_run_takes_the_one_that_waits_also_where_there_is_memory_for_no_other():
    gate = anyio.Event()

    async def answer(job) -> Reply:
        if job.argv == ("sleep",):
            await gate.wait()
        return Reply()

    engine = FakeEngine(answer)
    limit = Limits(memory=64 * MIB)
    async with pooled(engine, room=Room(8, 3 * 64 * MIB)) as (runner, pool):
        await runner.run(RunRequest(command=["true"], limits=limit))
        await until(pool, lambda: bool(pool.waiting))
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(runner.run, RunRequest(command=["sleep"], limits=limit))
            await until(pool, lambda: len(engine.live) == 3 and bool(pool.waiting))
            (waiting,) = pool.waiting
            tasks.start_soon(runner.run, RunRequest(command=["sleep"], limits=limit))
            await settled()
            assert waiting in engine.live, "it was taken, not removed for want of memory"
            assert pool.waiting == []
            gate.set()
