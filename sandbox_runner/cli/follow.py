"""A run that has begun, followed to its end: its output on ours as it comes, and its result."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing

from sandbox_runner.cli.exits import write_status
from sandbox_runner.cli.installing import Installing
from sandbox_runner.cli.signals import Ending
from sandbox_runner.cli.streams import Terminal
from sandbox_runner.config import Config
from sandbox_runner.events import Event, Output
from sandbox_runner.request import RunRequest
from sandbox_runner.result import RunResult
from sandbox_runner.runner import Runner
from sandbox_runner.running import RunStream

Opening = AbstractAsyncContextManager[RunStream]


@asynccontextmanager
async def opened(config: Config, request: RunRequest, *, quiet: bool) -> AsyncIterator[RunStream]:
    """``request`` as the only run of a Runner of its own; what it installs is shown unless ``quiet``."""
    with closing(Installing(request.packages, quiet=quiet)) as installing:
        async with (
            Runner.open(config) as runner,
            runner.stream(request, lossless=True, tell=installing.tell) as stream,
        ):
            installing.close()
            yield stream


def follow(opening: Opening, ending: Ending, *, silent: bool) -> RunResult | int:
    """The result; an exit status where a signal or our own output ended the run before it had one.

    Raises what the run raises.
    """
    return asyncio.run(_follow(opening, ending, _Output(silent=silent)))


async def _follow(opening: Opening, ending: Ending, output: "_Output") -> RunResult | int:
    task = asyncio.current_task()
    assert task is not None
    try:
        with ending.ends(task):
            result = await _stream(opening, ending, output)
    except asyncio.CancelledError:
        if ending.signal is None:
            raise
        return 128 + ending.signal
    return result if output.failure is None else write_status(output.failure)


async def _stream(opening: Opening, ending: Ending, output: "_Output") -> RunResult:
    async with opening as stream:
        ending.cancel_run = stream.cancel
        async for event in stream:
            await output.take(event)
            if output.failure is not None:
                stream.cancel()
        return await stream.result()


class _Output:
    """Where events go. ``failure`` is what our stdout or stderr said when it took no more."""

    def __init__(self, *, silent: bool) -> None:
        self._terminal = None if silent else Terminal()
        self.failure: OSError | None = None

    async def take(self, event: Event) -> None:
        if self._terminal is None or self.failure is not None:
            return
        if isinstance(event, Output):
            try:
                await self._terminal.write(event.stream, event.data)
            except OSError as error:
                self.failure = error
