"""A program that prints a gibibyte: how fast the caller gets it, and what that costs in memory."""

import os
import time
from collections.abc import Callable
from dataclasses import replace

import psutil
from anyio import to_thread

from sandbox_runner.bench.figure import BARE, Bar, Figure, figure
from sandbox_runner.bench.peers import Peer, spawn
from sandbox_runner.bench.plan import Plan, Subject
from sandbox_runner.errors import EngineError
from sandbox_runner.events import Output
from sandbox_runner.request import Limits, RunRequest
from sandbox_runner.runner import Runner

_MIB = 1 << 20
_FLAT = 64.0  # MiB that our process may grow by
_BARS = [Bar("p50", ">=", 100)]
_CODE = """\
import sys
piece = b"x" * 65536
for _ in range({pieces}):
    sys.stdout.buffer.write(piece)
sys.stdout.flush()
"""


async def measure_bandwidth(plan: Plan) -> list[Figure]:
    """Megabytes (10**6) per second from the first byte to the last, nothing dropped."""
    size = plan.times(1024, 64) * _MIB
    code = _CODE.format(pieces=size // 65536)
    rates: dict[str, list[float]] = {}
    growth: dict[str, float] = {}
    for _ in range(plan.times(3, 1)):
        for subject in plan.subjects:
            plan.report(subject.name)
            rate, grown = await _streamed(subject, code, size)
            rates.setdefault(subject.name, []).append(rate)
            growth[subject.name] = max(grown, growth.get(subject.name, 0.0))
        for peer in (plan.baseline, *plan.peers):
            plan.report(peer.name)
            rates.setdefault(peer.name, []).append(await _piped(peer, code, size))
    return [_figure(name, values, size, rates[BARE], growth.get(name)) for name, values in rates.items()]


def _figure(name: str, values: list[float], size: int, bare: list[float], growth: float | None) -> Figure:
    variant = f"{size // _MIB} MiB"
    if growth is None:
        return figure("bandwidth", name, values, unit="MB/s", variant=variant, baseline=bare)
    made = figure(
        "bandwidth",
        name,
        values,
        unit="MB/s",
        variant=variant,
        baseline=bare,
        bars=_BARS,
        notes={"memory_growth_mib": growth},
    )
    bar = f"{made.bar}, our process grows by at most {_FLAT:g} MiB"
    return replace(made, bar=bar, met=bool(made.met) and growth <= _FLAT)


async def _streamed(subject: Subject, code: str, size: int) -> tuple[float, float]:
    """Megabytes per second, and the MiB by which this process grew at most."""
    limits = Limits(output=size + _MIB, wall_time=300)
    settings = subject.settings(max_output=size + _MIB)
    meter = _Meter()
    async with Runner.open(settings) as runner:
        await runner.run(RunRequest(language="python", code="pass"))
        meter.begin()
        request = RunRequest(language="python", code=code, limits=limits)
        async with runner.stream(request, lossless=True) as stream:
            async for event in stream:
                if isinstance(event, Output):
                    meter.add(len(event.data))
            await stream.result()
    return meter.rate(size), meter.growth


async def _piped(peer: Peer, code: str, size: int) -> float:
    meter = _Meter()

    def read(descriptor: int) -> None:
        while data := os.read(descriptor, 1 << 16):
            meter.add(len(data))

    meter.begin()
    await to_thread.run_sync(spawn, peer, code, read)
    return meter.rate(size)


class _Meter:
    """Counts bytes, the time between the first and the last, and the growth of this process in MiB."""

    def __init__(self) -> None:
        self._memory: Callable[[], int] = lambda: psutil.Process().memory_info().rss
        self._before = 0
        self._first = self._last = 0.0
        self._bytes = self._looked = 0
        self.growth = 0.0

    def begin(self) -> None:
        self._before = self._memory()

    def add(self, size: int) -> None:
        self._last = time.perf_counter()
        self._first = self._first or self._last
        self._bytes += size
        if self._bytes - self._looked >= 16 * _MIB:
            self._looked = self._bytes
            self.growth = max(self.growth, (self._memory() - self._before) / _MIB)

    def rate(self, size: int) -> float:
        """Megabytes per second. Raises EngineError where some of ``size`` bytes did not come."""
        if self._bytes != size:
            raise EngineError(f"{self._bytes} of {size} bytes came.")
        return size / 1e6 / (self._last - self._first)
