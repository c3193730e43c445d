"""A process that runs programs without end, for the tests that kill it. Prints its pid once it is up.

With an image's name it runs there; with --hold it stays for ever between create and start; with --pool
other containers wait meanwhile. With --nursery it only forks such processes, one for each line of its
stdin, which is their arguments: what they import is imported once, and their parent reaps them.
"""

import os
import signal
import sys
from functools import partial

import anyio

from sandbox_runner import Limits, Runner, RunRequest
from sandbox_runner.engines.docker.container import DockerContainer


async def hold(_container: DockerContainer) -> None:
    await anyio.sleep_forever()


async def main(image: str | None, *, pool: bool) -> None:
    async with Runner.open(pool=pool) as runner:
        os.write(1, b"%d\n" % os.getpid())
        while True:
            request = RunRequest(
                command=["sleep", "0.05"], image=image, stdin=b"x", limits=Limits(wall_time=60, memory="64m")
            )
            await runner.run(request)


def own(arguments: list[str]) -> None:
    if "--hold" in arguments:
        DockerContainer.start = hold  # type: ignore[method-assign]
    images = [each for each in arguments if not each.startswith("--")]
    anyio.run(partial(main, images[0] if images else None, pool="--pool" in arguments))


def fork_owners() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps them
    while line := sys.stdin.readline():
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            own(line.split())


if "--nursery" in sys.argv:
    fork_owners()
else:
    own(sys.argv[1:])
