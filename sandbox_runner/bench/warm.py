"""A run in a container of its own that waited, at a fixed rate, beside the bare interpreter.

Open loop: each run begins at its time, whether or not those before it are over. The bare process is
started half a period later, so that both see the same machine.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import anyio
import psutil
from anyio import to_thread

from sandbox_runner.bench import llm_sandbox, peers
from sandbox_runner.bench.cold import run_once
from sandbox_runner.bench.figure import BARE, Bar, Figure, figure
from sandbox_runner.bench.plan import CRUN, Plan, Subject, Turn, peer_turn, take_turns
from sandbox_runner.engines.choice import DOCKER
from sandbox_runner.runner import Runner

POOL = 8
_Call = Callable[[], Coroutine[Any, Any, None]]
# Runs per second that two cores can refill.
_RATES = {DOCKER: 4.0, "docker+runsc": 1.0, "oci+runc": 8.0, "oci+runsc": 1.0}
_RATE = 20.0
_BARS = {
    CRUN: [Bar("p50", "<=", 0.5, BARE), Bar("p99", "<=", 2, BARE)],
    DOCKER: [Bar("p50", "<=", 1, BARE)],
}


@dataclass(slots=True)
class Loop:
    """What one open loop saw: milliseconds of runs and of bare processes, and of the whole machine's CPU."""

    warm: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    bare_cpu: list[float] = field(default_factory=list)
    machine_cpu: float = 0.0


async def measure_warm(plan: Plan) -> list[Figure]:
    """Each engine with a pool; then the peers that use one container again, one run after the other."""
    figures = []
    for subject in plan.subjects:
        plan.report(subject.name)
        figures += await _engine(plan, subject)
    return [*figures, *await _peers(plan)]


async def _engine(plan: Plan, subject: Subject) -> list[Figure]:
    rate, seconds = _RATES.get(subject.name, _RATE), plan.times(60, 3)
    async with Runner.open(subject.settings(pool_max=POOL), pool=True) as runner:
        # The pool learns of the demand before it is measured.
        await _open_loop(plan, runner, rate, plan.times(5, 1))
        seen = await _open_loop(plan, runner, rate, seconds)
    variant = f"{rate:g}/s for {seconds} s, pool of {POOL}"
    cpu = (seen.machine_cpu - sum(seen.bare_cpu)) / len(seen.warm)
    bare_cpu = sum(seen.bare_cpu) / len(seen.bare)
    return [
        figure(
            "warm",
            subject.name,
            seen.warm,
            variant=variant,
            baseline=seen.bare,
            bars=_BARS.get(subject.name, ()),
            notes={"machine_cpu_ms_per_run": cpu, "bare_cpu_ms_per_run": bare_cpu},
        ),
        figure("warm", BARE, seen.bare, variant=f"beside {subject.name}", baseline=seen.bare),
    ]


async def _open_loop(plan: Plan, runner: Runner, rate: float, seconds: float) -> Loop:
    loop = Loop()

    async def sandboxed() -> None:
        loop.warm.append(await run_once(runner))

    async def bare() -> None:
        took, cpu = await to_thread.run_sync(peers.run_once, plan.baseline)
        loop.bare.append(took)
        loop.bare_cpu.append(cpu)

    before = _machine_cpu()
    async with anyio.create_task_group() as tasks:
        for at, call in _schedule(rate, seconds, sandboxed, bare):
            await anyio.sleep_until(at)
            tasks.start_soon(call)
    loop.machine_cpu = _machine_cpu() - before
    return loop


def _schedule(rate: float, seconds: float, *calls: _Call) -> list[tuple[float, _Call]]:
    """The calls in turns, evenly spread, each ``rate`` times a second."""
    begins = anyio.current_time()
    total = int(rate * seconds) * len(calls)
    return [(begins + n / rate / len(calls), calls[n % len(calls)]) for n in range(total)]


def _machine_cpu() -> float:
    """Milliseconds that all processes of the machine have used."""
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0)) * 1000


async def _peers(plan: Plan) -> list[Figure]:
    turns = {peer.name: peer_turn(peer) for peer in (plan.baseline, *plan.peers) if not peer.fresh}
    if plan.llm_sandbox:
        async with llm_sandbox.warm_turns() as more:
            return await _in_turns(plan, {**turns, **more})
    return await _in_turns(plan, turns) if turns else []


async def _in_turns(plan: Plan, turns: dict[str, Turn]) -> list[Figure]:
    taken = await take_turns({BARE: peer_turn(plan.baseline), **turns}, plan.times(50, 4))
    variant = "one container for all runs"
    return [
        figure("warm", name, values, variant=variant, baseline=taken[BARE])
        for name, values in taken.items()
        if name != BARE
    ]
