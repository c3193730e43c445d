"""How long a session's container may stay before anyone may remove it, made for it or before it."""

import time

import anyio
import pytest

from sandbox_runner import Config, Limits, hardening
from sandbox_runner.engines.live_runs import is_orphaned, live_run
from sandbox_runner.testing import FakeEngine, Reply, fake_runner_on

pytestmark = pytest.mark.anyio
CONFIG = Config(max_wall_time=60, wall_time=10, session_ttl=7200)


def left(spec) -> float:
    """The seconds of its lease that are to come, without the grace."""
    return int(spec.labels[hardening.LABEL_DEADLINE]) - hardening.LEASE_GRACE - time.time()


async def test_a_sessions_container_is_leased_for_the_life_of_the_session():
    engine = FakeEngine(lambda _job: Reply())
    async with fake_runner_on(engine, config=CONFIG) as runner:
        async with runner.session("python", limits=Limits(wall_time=5)):
            pass
        async with runner.session("python", ttl=300):
            pass
    assert [round(left(spec), -2) for spec in engine.made] == [7200, 300]


async def test_one_that_waited_as_long_as_it_may_has_a_whole_session_before_it():
    engine = FakeEngine(lambda _job: Reply())
    async with fake_runner_on(engine, config=CONFIG, pool=True) as runner:
        async with runner.session("python"):
            await anyio.wait_all_tasks_blocked()
            (ahead,) = [spec for spec in engine.made if hardening.LABEL_AHEAD in spec.labels]
        (waiting,) = engine.live
        async with runner.session("python") as session:
            assert session._container.id == waiting
    assert round(left(ahead), -2) == 600 + 7200


async def test_sessions_of_another_length_do_not_take_it():
    engine = FakeEngine(lambda _job: Reply())
    async with fake_runner_on(engine, config=CONFIG, pool=True) as runner:
        async with runner.session("python", ttl=60):
            await anyio.wait_all_tasks_blocked()
        waiting = engine.live
        async with runner.session("python") as session:
            assert session._container.id not in waiting


async def test_the_session_of_a_living_owner_is_no_orphan_long_after_the_longest_run(monkeypatch):
    engine = FakeEngine(lambda _job: Reply())
    async with fake_runner_on(engine, config=CONFIG) as runner, runner.session("python"):
        listed = live_run(engine.made[0].labels, container_id="c", state="running", image="i")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 7100)
    assert not is_orphaned(listed)
    monkeypatch.setattr(time, "time", lambda: now + 7300)
    assert is_orphaned(listed)
