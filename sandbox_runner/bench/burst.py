"""A hundred runs asked for at one moment: how long until each caller has the result."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

import anyio
from anyio import to_thread

from sandbox_runner.bench import peers
from sandbox_runner.bench.cold import REQUEST
from sandbox_runner.bench.figure import BARE, Bar, Figure, figure
from sandbox_runner.bench.peers import Peer
from sandbox_runner.bench.plan import LITTLE_MEMORY, Plan, Subject, peer_turn, take_turns
from sandbox_runner.errors import EngineError, SandboxError
from sandbox_runner.runner import Runner

_BARS = [Bar("p50", "<=", 50, BARE)]


@dataclass(frozen=True, slots=True)
class _Pool:
    """At ``most`` so many containers wait before each burst: all, where ``full``, else as after one run."""

    name: str
    most: int
    full: bool = False


_WAYS = (_Pool("no pool", 0), _Pool("pool", 8), _Pool("64 waiting", 64, full=True))


async def measure_burst(plan: Plan) -> list[Figure]:
    """Each engine without a pool, with one that knows no demand, with two thirds waiting; the peers once."""
    size = plan.times(100, 20)
    bare = (await take_turns({BARE: peer_turn(plan.baseline)}, plan.times(50, 5)))[BARE]
    figures = [figure("burst", BARE, bare, variant="one at a time", baseline=bare)]
    for subject in plan.subjects:
        for pool in _WAYS[:2] if subject.is_slow or plan.quick else _WAYS:
            plan.report(f"{subject.name}, {pool.name}")
            figures.append(await _engine(plan, subject, size, bare, pool))
    for peer in (plan.baseline, *plan.peers):
        if peer.fresh:
            plan.report(peer.name)
            values = await _at_once(partial(_in_thread, peer, anyio.CapacityLimiter(size)), size)
            figures.append(figure("burst", peer.name, values, variant=f"{size} at once", baseline=bare))
    return figures


async def _engine(plan: Plan, subject: Subject, size: int, bare: list[float], pool: _Pool) -> Figure:
    failed = 0
    values: list[float] = []
    settings = subject.settings(
        queue_size=size, pool_max=pool.most, pool_min=pool.most if pool.full else 0, memory=LITTLE_MEMORY
    )
    async with Runner.open(settings, pool=bool(pool.most)) as runner:

        async def once() -> None:
            nonlocal failed
            try:
                failed += (await runner.run(REQUEST)).stdout != "1\n"
            except SandboxError:
                failed += 1

        await once()
        for _ in range(1 if subject.is_slow else plan.times(3 if subject.has_daemon else 5, 1)):
            if pool.full:
                await subject.fill(runner, pool.most)
            else:
                await subject.settle(runner, left=pool.most)
            values += await _at_once(once, size)
    if failed == len(values):
        raise EngineError(f"{subject.name}: no run of a burst succeeded.")
    made = figure(
        "burst",
        subject.name,
        values,
        variant=f"{size} at once, {pool.name}",
        baseline=bare,
        bars=() if subject.has_daemon or subject.is_slow else _BARS,
        notes={"failed": failed},
    )
    if made.met is None:
        return made
    return replace(made, bar=f"all succeed, {made.bar}", met=made.met and not failed)


async def _at_once(once: Callable[[], Awaitable[object]], size: int) -> list[float]:
    """Milliseconds from the moment when all are asked for until each is answered."""
    took: list[float] = []
    begins = time.perf_counter()

    async def one() -> None:
        await once()
        took.append((time.perf_counter() - begins) * 1000)

    async with anyio.create_task_group() as tasks:
        for _ in range(size):
            tasks.start_soon(one)
    return took


async def _in_thread(peer: Peer, limiter: anyio.CapacityLimiter) -> None:
    await to_thread.run_sync(peers.run_once, peer, limiter=limiter)
