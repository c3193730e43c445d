"""A session's container between its runs, on the engine in memory."""

import anyio
import pytest

from sandbox_runner import Config, RunRequest
from sandbox_runner.errors import EngineUnavailable, SessionEnded
from sandbox_runner.sessions.term import Term
from sandbox_runner.sessions.watch import Watch
from sandbox_runner.testing import FakeEngine, Reply, fake_runner_on

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
LONG = 1000.0
PATIENCE = 20  # seconds; nothing waits that long where it works


@pytest.fixture
async def engine(anyio_backend):
    return FakeEngine(lambda _job: Reply(cpu_time=0.25))


@pytest.fixture
async def runner(engine):
    async with fake_runner_on(engine, config=Config(max_concurrent=1)) as runner:
        yield runner


async def test_the_death_of_an_idle_container_ends_its_session_and_frees_its_place(runner, engine):
    async with runner.session("python") as session:
        await session.run("1")
        (container,) = engine.live
        with anyio.fail_after(PATIENCE):
            engine.kill(container)
            assert "died" in await session.over()
            assert (await runner.run(RunRequest(language="python", code="1"))).ok  # there is one place
        with pytest.raises(SessionEnded, match=r"died.*open another"):
            await session.run("1")


async def test_one_that_dies_before_it_was_ever_used_is_noticed_too(runner, engine):
    async with runner.session("python") as session:
        engine.kill(*engine.live)
        with anyio.fail_after(PATIENCE):
            assert "died" in await session.over()


async def test_what_runs_is_not_disturbed_and_counted_once(runner):
    async with runner.session("python", cpu_time=2) as session:
        for _ in range(7):
            assert (await session.run("1")).ok
            await anyio.wait_all_tasks_blocked()
        assert session.ended == ""
        assert (await session.run("1")).ok
        with anyio.fail_after(PATIENCE):
            assert "used up its 2 s of CPU time" in await session.over()


class Computing:
    """What a watch asks of a container; ``used`` are the answers, None where the engine does not answer."""

    def __init__(self, *used):
        self._used = list(used)

    async def lost(self):
        await anyio.sleep_forever()

    async def cpu_time(self):
        used = self._used.pop(0) if self._used else None
        if used is None:
            raise EngineUnavailable("It does not answer.")
        return used


async def reason(container, term, *, cpus=1.0):
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Watch(container, term, cpus=cpus).keep)
            return await term.ended()


async def test_what_computes_in_the_background_is_charged():
    term = Term(ttl=LONG, idle=LONG, cpu_time=0.5)
    assert "used up its 0.5 s" in await reason(Computing(0.25, 0.5, 0.75), term)
    assert term.spent == 0.5


async def test_no_more_than_a_start_can_take_is_given_away():
    term = Term(ttl=LONG, idle=LONG, cpu_time=5)
    assert "used up its 5 s" in await reason(Computing(0.5, 60.0), term)
    term = Term(ttl=LONG, idle=LONG, cpu_time=5)
    assert "used up its 5 s" in await reason(Computing(60.0, 60.0), term)


async def test_where_the_engine_cannot_count_all_that_could_be_used_is_charged():
    term = Term(ttl=LONG, idle=LONG, cpu_time=1.5)
    assert "used up its 1.5 s" in await reason(Computing(), term, cpus=2.0)
