"""A process that runs programs without end, for the test that kills it. Prints its pid once it is up."""

import os
import sys

import anyio

from sandbox_runner import Limits, Runner, RunRequest


async def main(image: str | None) -> None:
    async with Runner.open() as runner:
        print(os.getpid(), flush=True)
        while True:
            request = RunRequest(
                command=["sleep", "0.05"], image=image, stdin=b"x", limits=Limits(wall_time=60, memory="64m")
            )
            await runner.run(request)


anyio.run(main, sys.argv[1] if len(sys.argv) > 1 else None)
