"""A step of a session, from the call until the caller has the result, without the code's own time."""

import time

from sandbox_runner.bench.figure import Bar, Figure, figure
from sandbox_runner.bench.plan import CRUN, Plan, Subject
from sandbox_runner.engines.choice import DOCKER
from sandbox_runner.errors import EngineError
from sandbox_runner.runner import Runner
from sandbox_runner.sessions import Session

_CODE = "i = 1"
_BARS = {engine: [Bar("p50", "<=", 2)] for engine in (DOCKER, CRUN)}
_OWN_TIMES = 10_000
_OWN = f"""\
import time as _time
_cell = compile({_CODE!r}, "cell", "exec")
_began = _time.perf_counter()
for _ in range({_OWN_TIMES}):
    exec(_cell, globals())
print((_time.perf_counter() - _began) / {_OWN_TIMES} * 1000)
"""


async def measure_steps(plan: Plan) -> list[Figure]:
    """Steps of one Python session, one after the other, on each engine."""
    figures = []
    for subject in plan.subjects:
        plan.report(subject.name)
        figures.append(await _engine(plan, subject))
    return figures


async def _engine(plan: Plan, subject: Subject) -> Figure:
    count = plan.times(500, 20)
    async with Runner.open(subject.config) as runner, runner.session("python") as session:
        own = float(await _printed(session, _OWN))
        steps = [await _step(session) - own for _ in range(count)]
    return figure(
        "session",
        subject.name,
        steps,
        variant=f"{count} steps of {_CODE}",
        bars=_BARS.get(subject.name, ()),
        notes={"own_us": own * 1000},
    )


async def _step(session: Session) -> float:
    """The milliseconds until the result of `_CODE` is known."""
    began = time.perf_counter()
    result = await session.run(_CODE)
    took = time.perf_counter() - began
    if not result.ok:
        raise EngineError(f"A step ended as {result.status}, with {result.stderr[:200]!r}.")
    return took * 1000


async def _printed(session: Session, code: str) -> str:
    result = await session.run(code)
    if not result.ok:
        raise EngineError(f"The code's own time is not known: {result.status}, {result.stderr[:200]!r}.")
    return result.stdout
