"""What is measured: the engines that are there, the peers, and how often."""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import anyio
from anyio import to_thread

from sandbox_runner.bench.peers import Peer, run_once
from sandbox_runner.config import Config
from sandbox_runner.engines.choice import DOCKER, OCI, open_engine
from sandbox_runner.engines.live_runs import LiveRun
from sandbox_runner.errors import ControlNotEnforced, EngineError
from sandbox_runner.request import RunRequest
from sandbox_runner.runner import Runner

ENGINES = ("docker", "docker+runsc", "oci+crun", "oci+runc", "oci+runsc")
CRUN = "oci+crun"
LITTLE_MEMORY = 64 << 20  # bytes, of each of many that wait: their limits together have to fit this machine
Turn = Callable[[], Awaitable[float]]
_GONE_TIME = 30.0  # seconds for containers to be removed between two turns
_FILLING_TIME = 60.0  # seconds for those that a pool is to hold to be ready
_RESTING_TIME = 1.0  # seconds for them to come to rest


@dataclass(frozen=True, slots=True)
class Subject:
    """One of our engines. ``list_runs(instance)`` gives a runner's containers; it blocks."""

    name: str
    config: Config
    list_runs: Callable[[str], list[LiveRun]]
    local: bool

    @property
    def has_daemon(self) -> bool:
        """Whether it is a Docker engine."""
        return self.config.engine == DOCKER

    @property
    def is_slow(self) -> bool:
        """Whether each container brings a kernel of its own, which takes ten times as long to start."""
        return self.name.endswith("+runsc")

    def settings(self, **changes: Any) -> Config:  # noqa: ANN401 - the fields of Config, which checks them
        """Its configuration with ``changes``."""
        return replace(self.config, **changes)

    async def settle(self, runner: Runner, *, left: int = 0) -> None:
        """Returns when at most so many containers of ``runner`` are left. Raises EngineError."""
        with anyio.move_on_after(_GONE_TIME):
            while len(await to_thread.run_sync(self.list_runs, runner.instance)) > left:  # noqa: ASYNC110 - it polls
                await anyio.sleep(0.01)
            return
        raise EngineError(f"{self.name}: containers are still there after {_GONE_TIME:.0f} s.")

    async def fill(self, runner: Runner, waiting: int) -> list[LiveRun]:
        """The containers of ``runner`` when so many wait, and none does anything else. Raises EngineError."""
        with anyio.move_on_after(_FILLING_TIME):
            while True:
                live = await to_thread.run_sync(self.list_runs, runner.instance)
                if len(live) == waiting and all(run.ahead and run.state == "running" for run in live):
                    await anyio.sleep(_RESTING_TIME)
                    return live
                await anyio.sleep(0.1)
        raise EngineError(f"{self.name}: {waiting} containers were not ready after {_FILLING_TIME:.0f} s.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``llm_sandbox``: whether that peer can be measured, too.

    ``quick``: few rounds, to see that it works; its numbers mean little.
    """

    subjects: Sequence[Subject]
    baseline: Peer
    peers: Sequence[Peer]
    llm_sandbox: bool
    quick: bool
    report: Callable[[str], None]

    def times(self, full: int, quick: int) -> int:
        """How often."""
        return quick if self.quick else full


async def find_subjects(config: Config, wanted: Sequence[str]) -> tuple[list[Subject], dict[str, str]]:
    """Those of the ``wanted`` engines that are ready for Python programs, and why the others are not."""
    subjects: list[Subject] = []
    missing: dict[str, str] = {}
    for name in wanted:
        try:
            subjects.append(await _subject(config, name))
        except (EngineError, ControlNotEnforced) as error:
            missing[name] = str(error)
    return subjects, missing


async def _subject(config: Config, name: str) -> Subject:
    kind, _, runtime = name.partition("+")
    chosen = replace(config, engine=kind, oci_runtime=runtime or config.oci_runtime)
    async with open_engine(kind, docker_host=config.docker_host, oci_runtime=chosen.oci_runtime) as opened:
        _, engine = opened
        await engine.image("python")
        facts = await engine.facts()
    async with Runner.open(chosen) as runner:  # a runtime may be known and not work
        await runner.run(RunRequest(language="python", code="print(1)"))
    return Subject(name, chosen, partial(_LISTS[kind], config.docker_host), facts.local)


def _in_docker(docker_host: str | None, instance: str) -> list[LiveRun]:
    from sandbox_runner.engines.docker.connection import connect  # noqa: PLC0415 - the SDK, for those who use it
    from sandbox_runner.engines.docker.inventory import list_runs  # noqa: PLC0415 - as above

    client = connect(docker_host)
    try:
        return list_runs(client, instance=instance)
    finally:
        client.close()


def _in_oci(_docker_host: str | None, instance: str) -> list[LiveRun]:
    from sandbox_runner.engines.oci.inventory import list_runs  # noqa: PLC0415 - as above

    return list_runs(instance=instance)


_LISTS = {DOCKER: _in_docker, OCI: _in_oci}


def peer_turn(peer: Peer) -> Turn:
    """One run of ``peer``, in milliseconds."""

    async def turn() -> float:
        return (await to_thread.run_sync(run_once, peer))[0]

    return turn


async def take_turns(
    turns: Mapping[str, Turn], rounds: int, *, most: Mapping[str, int] | None = None
) -> dict[str, list[float]]:
    """What each turn gave, in rounds of changing order; one round before them does not count.

    ``most`` bounds the rounds of those that take long.
    """
    taken: dict[str, list[float]] = {name: [] for name in turns}
    order, shuffle = list(turns), random.Random(7).shuffle
    for number in range(rounds + 1):
        shuffle(order)
        for name in order:
            if number > (most or {}).get(name, rounds):
                continue
            value = await turns[name]()
            if number:
                taken[name].append(value)
    return taken
