"""Cold runs of the embedded engine beside the bare interpreter, interleaved: medians, as JSON.

    python tests/bench/cold_oci.py [ROUNDS]

``image_python`` is the image's own interpreter in a chroot of its root filesystem, without a
container; ``host_python`` the interpreter that runs this. ``crun`` and ``runc`` are whole calls of
`Runner.run`, the removal of the container included; ``… result`` is the time until the result is known.
"""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import anyio

from sandbox_runner import Config, Runner, RunRequest
from sandbox_runner.engines.oci.store import find_stored, rootfs_of

RUNTIMES = ("crun", "runc")
REQUEST = RunRequest(language="python", code="print(1)")
PROGRAM = ("-I", "-c", "print(1)")


def bare(*command: str) -> Callable[[], float]:
    def run() -> float:
        began = time.perf_counter()
        quiet = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
        pid = os.posix_spawn(command[0], command, {"PATH": "/usr/bin:/bin"}, file_actions=quiet)
        assert os.waitpid(pid, 0)[1] == 0
        return time.perf_counter() - began

    return run


async def measure(rounds: int) -> dict[str, list[float]]:
    stored = find_stored("python")
    assert stored is not None, "run: sandbox-runner setup --engine oci"
    rootfs = rootfs_of(stored.id)
    peers = {
        "image_python": bare("/usr/sbin/chroot", str(rootfs), "/usr/bin/python3", *PROGRAM),
        "host_python": bare(str(Path(sys.executable).resolve()), *PROGRAM),
    }
    times: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        runners = {}
        for name in RUNTIMES:
            opening = Runner.open(Config(engine="oci", oci_runtime=name))
            runners[name] = await stack.enter_async_context(opening)
        for _ in range(rounds + 3):
            for name, runner in runners.items():
                began = time.perf_counter()
                async with runner.stream(REQUEST) as stream:
                    assert (await stream.result()).stdout == "1\n"
                    known = time.perf_counter() - began
                times.setdefault(f"{name} result", []).append(known)
                times.setdefault(name, []).append(time.perf_counter() - began)
            for name, run in peers.items():
                times.setdefault(name, []).append(run())
    return {name: values[3:] for name, values in times.items()}


def main() -> None:
    times = anyio.run(measure, int(sys.argv[1]) if len(sys.argv) > 1 else 50)
    medians = {name: round(statistics.median(values) * 1000, 2) for name, values in times.items()}
    fastest = {name: round(min(values) * 1000, 2) for name, values in times.items()}
    ratios = {name: round(medians[name] / medians["image_python"], 2) for name in medians}
    facts = {"kernel": platform.release(), "cpus": os.cpu_count(), "load": os.getloadavg()}
    print(json.dumps({"machine": facts, "median_ms": medians, "min_ms": fastest, "ratio": ratios}, indent=2))


main()
