"""A process that runs programs without end, for the tests that kill it. Prints its pid once it is up.

With an image's name it runs there; with --die it kills itself between create and start; with --pool
other containers wait meanwhile.
"""

import os
import signal
import sys
from functools import partial

import anyio

from sandbox_runner import Limits, Runner, RunRequest
from sandbox_runner.engines.docker.container import DockerContainer


async def die(_container: DockerContainer) -> None:
    sys.stdin.readline()  # until the test has done what it wants to a living owner
    os.kill(os.getpid(), signal.SIGKILL)


async def main(image: str | None, *, pool: bool) -> None:
    async with Runner.open(pool=pool) as runner:
        print(os.getpid(), flush=True)
        while True:
            request = RunRequest(
                command=["sleep", "0.05"], image=image, stdin=b"x", limits=Limits(wall_time=60, memory="64m")
            )
            await runner.run(request)


arguments = sys.argv[1:]
if "--die" in arguments:
    arguments.remove("--die")
    DockerContainer.start = die  # type: ignore[method-assign]
pool = "--pool" in arguments
if pool:
    arguments.remove("--pool")
anyio.run(partial(main, arguments[0] if arguments else None, pool=pool))
