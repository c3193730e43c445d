"""Fresh containers per second through the whole path, beside raw create + start + remove on the same engine.

    python tests/bench/bench_sustained.py --seconds 15 --concurrency 1 2 4 8

The raw calls make the very container that a run has, start it, wait for nothing, kill it and wait until it
is gone. Both take turns at each concurrency. Prints one JSON document of runs per second.
"""

import argparse
import json
import os
import platform
import secrets
import statistics
from collections.abc import Awaitable, Callable

import anyio
from anyio import to_thread

from sandbox_runner import Config, Runner, RunRequest
from sandbox_runner.engines.docker.connection import connect
from sandbox_runner.engines.docker.mapping import create_body
from sandbox_runner.engines.docker.removal import ensure_removed
from sandbox_runner.languages import find_language
from sandbox_runner.placement import Placements
from sandbox_runner.policy import admit
from sandbox_runner.request import LOCAL_USER

REQUEST = RunRequest(language="python", code="print(1)")
TURNS = 3


async def repeated(once: Callable[[], Awaitable[None]], *, concurrency: int, seconds: float) -> int:
    """How often ``once`` is done by so many at a time."""
    done = 0
    begins = anyio.current_time()

    async def repeat() -> None:
        nonlocal done
        while anyio.current_time() - begins < seconds:
            await once()
            done += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(concurrency):
            tasks.start_soon(repeat)
    return done


async def measured(concurrency: int, seconds: float, *, pool: bool) -> float:
    # Its end is in the time: what it has made must be gone.
    begins = anyio.current_time()
    async with Runner.open(Config(max_concurrent=max(8, concurrency)), pool=pool) as runner:

        async def once() -> None:
            result = await runner.run(REQUEST)
            assert result.ok, result

        runs = await repeated(once, concurrency=concurrency, seconds=seconds)
    return runs / (anyio.current_time() - begins)


async def raw(concurrency: int, seconds: float) -> float:
    client = await to_thread.run_sync(connect, None)
    placements = Placements(secrets.token_hex(8))
    language = find_language("python")
    async with Runner.open() as runner:
        image = await runner._engine.image(language.image)

    def calls() -> None:
        with placements.lease() as placement:
            spec = admit(
                Config().policy(), REQUEST, LOCAL_USER, language=language, image=image, placement=placement
            ).spec
            made = client.create_container_from_config(create_body(spec), name=spec.name)["Id"]
            client.start(made)
            ensure_removed(client, made, patience=0)

    async def once() -> None:
        await to_thread.run_sync(calls)

    begins = anyio.current_time()
    try:
        runs = await repeated(once, concurrency=concurrency, seconds=seconds)
        return runs / (anyio.current_time() - begins)
    finally:
        client.close()


async def main(arguments: argparse.Namespace) -> None:
    told = []
    for concurrency in arguments.concurrency:
        ours, pooled, engines = [], [], []
        for _ in range(TURNS):
            engines.append(await raw(concurrency, arguments.seconds / TURNS))
            ours.append(await measured(concurrency, arguments.seconds / TURNS, pool=False))
            pooled.append(await measured(concurrency, arguments.seconds / TURNS, pool=True))
        rates = {"raw": engines, "runner": ours, "with_pool": pooled}
        medians = {name: round(statistics.median(values), 2) for name, values in rates.items()}
        best = max(medians["runner"], medians["with_pool"])
        told.append({"concurrency": concurrency, **medians, "ratio": round(best / medians["raw"], 2)})
    facts = {"cores": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()[0]}
    print(json.dumps({**facts, "per_second": told}, indent=1))


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--seconds", type=float, default=30, help="for each of the three, per concurrency")
parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 2, 4, 8])
anyio.run(main, parser.parse_args())
