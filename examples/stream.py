"""Output as it is produced: an asynchronous program that follows a run event by event.

Run: python examples/stream.py
"""

import asyncio

from sandbox_runner import Exited, Output, Runner, RunRequest, Started

SCRIPT = """
for step in 1 2 3; do
  echo "step $step"
  sleep 0.3
done
echo "that was all" >&2
"""


async def main() -> None:
    """Prints each event of one run when it comes."""
    async with Runner.open() as runner:
        request = RunRequest(language="bash", code=SCRIPT)
        async with runner.stream(request) as events:
            async for event in events:
                match event:
                    case Started():
                        print("started")
                    case Output(stream=stream, text=text):
                        print(f"{stream}: {text}", end="")
                    case Exited(status=status, exit_code=code, usage=usage):
                        print(f"{status} {code} after {usage.wall_time:.1f} s")


asyncio.run(main())
