"""One run at a time, nothing kept waiting: from the call until the caller has the result."""

import time
from contextlib import AsyncExitStack

from sandbox_runner.bench import llm_sandbox
from sandbox_runner.bench.figure import BARE, Bar, Figure, figure
from sandbox_runner.bench.peers import PROGRAM
from sandbox_runner.bench.plan import CRUN, Plan, Subject, Turn, peer_turn, take_turns
from sandbox_runner.errors import EngineError
from sandbox_runner.request import RunRequest
from sandbox_runner.runner import Runner

REQUEST = RunRequest(language="python", code=PROGRAM)
BARS = {CRUN: [Bar("p50", "<=", 3, BARE)]}
_LLM_ROUNDS = 3  # each takes more than ten seconds


async def run_once(runner: Runner) -> float:
    """The milliseconds until the result of `PROGRAM` is known. Raises EngineError where it is another."""
    began = time.perf_counter()
    result = await runner.run(REQUEST)
    took = time.perf_counter() - began
    if result.stdout != "1\n":
        raise EngineError(f"The program ended as {result.status}, with {result.stderr[:200]!r}.")
    return took * 1000


async def measure_cold(plan: Plan) -> list[Figure]:
    """Fresh containers of each engine in turns with the peers that make one, too."""
    turns = {peer.name: peer_turn(peer) for peer in (plan.baseline, *plan.peers) if peer.fresh}
    most = {}
    if plan.llm_sandbox:
        turns[llm_sandbox.PLAIN] = llm_sandbox.plain_turn()
        most[llm_sandbox.PLAIN] = plan.times(_LLM_ROUNDS, 1)
    async with AsyncExitStack() as stack:
        for subject in plan.subjects:
            runner = await stack.enter_async_context(Runner.open(subject.config))
            turns[subject.name] = _turn(subject, runner)
        taken = await take_turns(turns, plan.times(50, 4), most=most)
    bare = taken[BARE]
    return [
        figure("cold", name, values, baseline=bare, bars=BARS.get(name, ())) for name, values in taken.items()
    ]


def _turn(subject: Subject, runner: Runner) -> Turn:
    async def turn() -> float:
        took = await run_once(runner)
        await subject.settle(runner)  # its removal must not be in the time of whoever is next
        return took

    return turn
