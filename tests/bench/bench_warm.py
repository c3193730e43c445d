"""A run in a container that waits, at a fixed rate, beside the same program in a bare process.

    python tests/bench/bench_warm.py --rate 4 --seconds 60 --bare /usr/bin/python3.11

Open loop: each run begins at its time, whether or not those before it are over. The bare process is started
half a period later, so that both see the same machine. Prints one JSON document; times are milliseconds.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import anyio
import psutil
from anyio import to_thread

from sandbox_runner import Runner, RunRequest

PROGRAM = "print(1)"


def bare(executable: str) -> float:
    """The milliseconds that one process takes, from its spawn to its end, its output read."""
    began = time.perf_counter()
    reader, writer = os.pipe()
    process = os.posix_spawn(
        executable,
        [executable, "-I", "-c", PROGRAM],
        dict(os.environ),
        file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_CLOSE, reader)],
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as output:
        assert output.read() == b"1\n"
    os.waitpid(process, 0)
    return (time.perf_counter() - began) * 1000


def summary(times: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return {
        "runs": len(times),
        "p50": round(cuts[49], 2),
        "p90": round(cuts[89], 2),
        "p99": round(cuts[98], 2),
        "most": round(max(times), 2),
    }


async def measure(runner: Runner, rate: float, seconds: float, executable: str) -> dict[str, object]:
    warm: list[float] = []
    plain: list[float] = []

    async def run_once() -> None:
        began = time.perf_counter()
        result = await runner.run(RunRequest(language="python", code=PROGRAM))
        warm.append((time.perf_counter() - began) * 1000)
        assert result.stdout == "1\n", result

    async def spawn_once() -> None:
        plain.append(await to_thread.run_sync(bare, executable))

    begins = anyio.current_time()
    cpu = psutil.cpu_times()
    async with anyio.create_task_group() as tasks:
        for number in range(int(rate * seconds)):
            await anyio.sleep_until(begins + number / rate)
            tasks.start_soon(run_once)
            await anyio.sleep_until(begins + (number + 0.5) / rate)
            tasks.start_soon(spawn_once)
    used = sum(psutil.cpu_times()[:3]) - sum(cpu[:3])
    return {
        "warm_ms": summary(warm),
        "bare_ms": summary(plain),
        "ratio_p50": round(summary(warm)["p50"] / summary(plain)["p50"], 2),
        "ratio_p99": round(summary(warm)["p99"] / summary(plain)["p99"], 2),
        "machine_cpu_ms_per_pair": round(used * 1000 / len(warm), 1),
    }


async def main(arguments: argparse.Namespace) -> None:
    executable = str(Path(arguments.bare).resolve())
    async with Runner.open(pool=True) as runner:
        # The pool learns of the demand before it is measured.
        await measure(runner, arguments.rate, min(5.0, arguments.seconds), executable)
        measured = await measure(runner, arguments.rate, arguments.seconds, executable)
    facts = {"cores": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()[0]}
    print(json.dumps({"rate": arguments.rate, "bare": executable, **facts, **measured}, indent=1))


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rate", type=float, default=4, help="runs per second")
parser.add_argument("--seconds", type=float, default=60)
parser.add_argument("--bare", default="/usr/bin/python3", help="the interpreter to compare with")
anyio.run(main, parser.parse_args())
