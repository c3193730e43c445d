"""From a program's write until the caller has it: the program prints the time.

That of day: gVisor's monotonic clock is its own.
"""

import os
import time
from contextlib import AsyncExitStack

from anyio import to_thread

from sandbox_runner.bench.figure import BARE, Bar, Figure, figure
from sandbox_runner.bench.peers import spawn
from sandbox_runner.bench.plan import Plan
from sandbox_runner.events import Output
from sandbox_runner.request import RunRequest
from sandbox_runner.runner import Runner

_BARS = [Bar("p50", "<=", 2)]
_CODE = """\
import sys, time
for _ in range({writes}):
    time.sleep(0.01)
    sys.stdout.write(f"{{time.time_ns()}}\\n")
    sys.stdout.flush()
"""


async def measure_latency(plan: Plan) -> list[Figure]:
    """Runs of many writes, the engines and the peers in turns."""
    code = _CODE.format(writes=plan.times(100, 20))
    taken: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        runners = {
            subject.name: await stack.enter_async_context(Runner.open(subject.config))
            for subject in plan.subjects
            if subject.local  # another machine has another clock
        }
        for _ in range(plan.times(5, 1)):
            for name, runner in runners.items():
                taken.setdefault(name, []).extend(await _streamed(runner, code))
            for peer in (plan.baseline, *plan.peers):
                seen = (await to_thread.run_sync(spawn, peer, code, _delays)).value
                taken.setdefault(peer.name, []).extend(seen)
    bare = taken[BARE]
    return [
        figure("latency", name, values, baseline=bare, bars=_BARS if name in runners else ())
        for name, values in taken.items()
    ]


async def _streamed(runner: Runner, code: str) -> list[float]:
    delays: list[float] = []
    async with runner.stream(RunRequest(language="python", code=code)) as stream:
        async for event in stream:
            if isinstance(event, Output):
                delays += _since(event.data)
    return delays


def _delays(descriptor: int) -> list[float]:
    delays: list[float] = []
    while data := os.read(descriptor, 1 << 16):
        delays += _since(data)
    return delays


def _since(data: bytes) -> list[float]:
    """Milliseconds since each of the times that are written in ``data``, one a line."""
    now = time.time_ns()
    return [(now - int(line)) / 1e6 for line in data.split()]
