"""A hundred runs asked for at one moment: how long until each caller has the result."""

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

import anyio
from anyio import to_thread

from sandbox_runner.bench import peers, raw
from sandbox_runner.bench.cold import REQUEST
from sandbox_runner.bench.figure import BARE, Bar, Figure, figure, summed_up
from sandbox_runner.bench.peers import Peer
from sandbox_runner.bench.plan import LITTLE_MEMORY, Plan, Subject, peer_turn, take_turns
from sandbox_runner.config import Config
from sandbox_runner.errors import EngineError, SandboxError
from sandbox_runner.runner import Runner

_BARS = [Bar("p50", "<=", 50, BARE)]
_SLOTS = 8  # of the engine's own calls at a time


@dataclass(frozen=True, slots=True)
class _Pool:
    """At most ``most`` containers wait. ``full``: each burst on one runner, and whether all do before it."""

    most: int
    least: int
    full: dict[str, bool]


_USUAL = Config().pool_max
_POOLS = (
    _Pool(0, 0, {"no pool": False}),
    _Pool(_USUAL, 0, {f"pool of {_USUAL}": False, f"pool of {_USUAL} after a burst": True}),
    _Pool(64, 64, {"64 waiting": True}),
)
_Bursts = dict[str, list[float]]  # milliseconds until each answer; infinite where that was a failure


async def measure_burst(plan: Plan) -> list[Figure]:
    """Each engine, and then the peers once, beside the bare interpreter one at a time.

    An engine takes turns: its own calls, no pool, a new pool, that pool after a burst, two thirds waiting.
    """
    size = plan.times(100, 20)
    bare = await _one_at_a_time(plan)
    figures = [figure("burst", BARE, bare, variant="one at a time", baseline=bare)]
    for subject in plan.subjects:
        figures += await _engine(plan, subject, size)
    for peer in (plan.baseline, *plan.peers):
        if peer.fresh:
            plan.report(peer.name)
            values = await _at_once(partial(_in_thread, peer, anyio.CapacityLimiter(size)), size)
            figures.append(figure("burst", peer.name, values, variant=f"{size} at once", baseline=bare))
    return figures


async def _one_at_a_time(plan: Plan) -> list[float]:
    return (await take_turns({BARE: peer_turn(plan.baseline)}, plan.times(50, 5)))[BARE]


async def _engine(plan: Plan, subject: Subject, size: int) -> list[Figure]:
    # Few runs teach a pool no demand, and 64 kernels of gVisor take a minute to start.
    pools = _POOLS[:1] if plan.quick else _POOLS[:2] if subject.is_slow else _POOLS
    bare: list[float] = []
    own: list[float] = []
    ours: _Bursts = {}
    for turn in range(1 if subject.is_slow else plan.times(3, 1)):
        plan.report(f"{subject.name}, turn {turn + 1}")
        bare += await _one_at_a_time(plan)
        if not subject.is_slow:
            own += await _own_calls(subject, size)
        for pool in pools:
            for name, values in (await _bursts(subject, pool, size)).items():
                ours[name] = ours.get(name, []) + values
    figures = [
        _figure(subject, values, variant=f"{size} at once, {name}", bare=bare, own=own)
        for name, values in ours.items()
    ]
    if own:
        variant = f"{size} at once, {_SLOTS} at a time"
        figures.append(figure("burst", raw.call_name(subject.name), own, variant=variant, baseline=bare))
    return figures


async def _bursts(subject: Subject, pool: _Pool, size: int) -> _Bursts:
    settings = subject.settings(
        queue_size=size, pool_max=pool.most, pool_min=pool.least, memory=LITTLE_MEMORY
    )
    took: _Bursts = {}
    async with Runner.open(settings, pool=bool(pool.most)) as runner:
        await runner.run(REQUEST)
        for name, full in pool.full.items():
            if full:
                await subject.fill(runner, pool.most)
            else:
                await subject.settle(runner, left=min(1, pool.most))
            took[name] = await _at_once(partial(_answered, runner), size)
    return took


async def _answered(runner: Runner) -> bool:
    """Whether it is the right answer."""
    try:
        return (await runner.run(REQUEST)).stdout == "1\n"
    except SandboxError:
        return False


async def _own_calls(subject: Subject, size: int) -> list[float]:
    """Milliseconds until each of so many is done by the engine itself, some at a time."""
    opening = raw.docker_calls(subject) if subject.has_daemon else raw.runtime_calls(subject, _SLOTS)
    slots = list(range(_SLOTS))
    limit = anyio.Semaphore(_SLOTS)
    async with opening as call:

        async def once() -> None:
            async with limit:
                slot = slots.pop()
                try:
                    await call(slot)
                finally:
                    slots.append(slot)

        return await _at_once(once, size)


def _figure(
    subject: Subject, values: list[float], *, variant: str, bare: list[float], own: list[float]
) -> Figure:
    answered = [value for value in values if value != math.inf]
    if not answered:
        raise EngineError(f"{subject.name}: no run of a burst succeeded.")
    notes = {"failed": float(len(values) - len(answered))}
    if own:
        notes[f"{raw.call_name(subject.name)}_ms".replace(" ", "_")] = summed_up(own).p50
    made = figure(
        "burst",
        subject.name,
        answered,
        variant=variant,
        baseline=bare,
        bars=() if subject.has_daemon or subject.is_slow else _BARS,
        notes=notes,
    )
    if made.met is None:
        return made
    return replace(made, bar=f"all succeed, {made.bar}", met=made.met and not notes["failed"])


async def _at_once(once: Callable[[], Awaitable[bool | None]], size: int) -> list[float]:
    """Milliseconds from the moment when all are asked for until each is answered; infinite for False."""
    took: list[float] = []
    begins = time.perf_counter()

    async def one() -> None:
        failed = await once() is False
        took.append(math.inf if failed else (time.perf_counter() - begins) * 1000)

    async with anyio.create_task_group() as tasks:
        for _ in range(size):
            tasks.start_soon(one)
    return took


async def _in_thread(peer: Peer, limiter: anyio.CapacityLimiter) -> None:
    await to_thread.run_sync(peers.run_once, peer, limiter=limiter)
