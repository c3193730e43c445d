"""Fresh containers per second, by so many callers that each start the next run when one is over."""

import time
from collections.abc import Sequence
from functools import partial

import anyio
from anyio import to_thread

from sandbox_runner.bench import peers, raw
from sandbox_runner.bench.cold import run_once
from sandbox_runner.bench.figure import BARE, Bar, Figure, figure
from sandbox_runner.bench.peers import Peer
from sandbox_runner.bench.plan import CRUN, Plan, Subject
from sandbox_runner.engines.choice import DOCKER
from sandbox_runner.runner import Runner

CONCURRENCY = (1, 2, 4, 8)
POOL = 8
_UNIT = "runs/s"
_BARS = {CRUN: (0.7, "crun run"), DOCKER: (0.9, "raw calls")}
_Rates = dict[tuple[str, str], dict[int, list[float]]]  # by who and how, then by concurrency


async def measure_sustained(plan: Plan) -> list[Figure]:
    """The whole path, without and with a pool, in turns with each engine's own calls and the peers."""
    rates: _Rates = {}
    for turn in range(plan.times(3, 1)):
        for concurrency in CONCURRENCY if not plan.quick else CONCURRENCY[1::2]:
            plan.report(f"turn {turn + 1}, concurrency {concurrency}")
            seconds = plan.times(4, 1)
            for subject in plan.subjects:
                await _subject(rates, subject, concurrency, seconds)
            for peer in (plan.baseline, *plan.peers):
                if peer.fresh:
                    _note(rates, (peer.name, ""), concurrency, await _peer_rate(peer, concurrency, seconds))
    return [each for who, by_concurrency in rates.items() for each in _figures(who, by_concurrency, rates)]


async def _subject(rates: _Rates, subject: Subject, concurrency: int, seconds: float) -> None:
    opening = raw.docker_calls(subject) if subject.has_daemon else raw.runtime_calls(subject, concurrency)
    async with opening as once:
        _note(rates, (raw.call_name(subject.name), ""), concurrency, await _rate(once, concurrency, seconds))
    for pool in (False, True):
        rate = await _runner_rate(subject, concurrency, seconds, pool=pool)
        _note(rates, (subject.name, f"pool of {POOL}" if pool else "no pool"), concurrency, rate)


async def _runner_rate(subject: Subject, concurrency: int, seconds: float, *, pool: bool) -> float:
    # Its end is in the time: what it has made must be gone.
    settings = subject.settings(max_concurrent=max(POOL, concurrency), pool_max=POOL)
    async with Runner.open(settings, pool=pool) as runner:
        await run_once(runner)
        begins = time.perf_counter()
        runs = await _repeated(lambda _slot: _ignored(runner), concurrency, seconds)
    return runs / (time.perf_counter() - begins)


async def _ignored(runner: Runner) -> None:
    await run_once(runner)


async def _peer_rate(peer: Peer, concurrency: int, seconds: float) -> float:
    async def once(_slot: int) -> None:
        await to_thread.run_sync(partial(peers.run_once, peer))

    return await _rate(once, concurrency, seconds)


async def _rate(once: raw.Once, concurrency: int, seconds: float) -> float:
    begins = time.perf_counter()
    return await _repeated(once, concurrency, seconds) / (time.perf_counter() - begins)


async def _repeated(once: raw.Once, concurrency: int, seconds: float) -> int:
    """How often ``once``, called with the caller's number, is done by so many at a time."""
    done = 0
    ends = time.perf_counter() + seconds

    async def repeat(slot: int) -> None:
        nonlocal done
        while time.perf_counter() < ends:
            await once(slot)
            done += 1

    async with anyio.create_task_group() as tasks:
        for slot in range(concurrency):
            tasks.start_soon(repeat, slot)
    return done


def _note(rates: _Rates, who: tuple[str, str], concurrency: int, rate: float) -> None:
    rates.setdefault(who, {}).setdefault(concurrency, []).append(rate)


def _figures(who: tuple[str, str], by_concurrency: dict[int, list[float]], rates: _Rates) -> list[Figure]:
    """One for each concurrency; the best one is compared with the bar."""
    engine, how = who
    best = max(by_concurrency, key=lambda each: _middle(by_concurrency[each]))
    bound, peer = _BARS.get(engine, (0.0, ""))
    made = []
    for concurrency, values in by_concurrency.items():
        judged = bool(peer) and concurrency == best
        bars = [Bar("p50", ">=", bound, f"the best of {peer}")] if judged else []
        notes = {"concurrency": float(concurrency)}
        if judged:
            notes[f"{peer}_runs_per_s".replace(" ", "_")] = _middle(_best(rates[peer, ""]))
        made.append(
            figure(
                "sustained",
                engine,
                values,
                unit=_UNIT,
                variant=", ".join(filter(None, (f"concurrency {concurrency}", how))),
                baseline=rates[BARE, ""][concurrency],
                bars=bars,
                judged_by=_best(rates[peer, ""]) if judged else None,
                notes=notes,
            )
        )
    return made


def _best(by_concurrency: dict[int, list[float]]) -> Sequence[float]:
    return max(by_concurrency.values(), key=_middle)


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
