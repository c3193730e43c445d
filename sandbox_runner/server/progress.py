"""Live output as progress notifications: the first at once, then at most ten a second.

What a slow client does not take is not waited for: the next message has what is newest then.
"""

from contextlib import suppress

import anyio
from mcp.server.mcpserver import Context

from sandbox_runner.server.runs import Run
from sandbox_runner.server.text import neutral

_PAUSE = 0.1  # seconds between two messages
_SILENCE = 5.0  # seconds without output after which a message says that it still runs
_STEP = 1e-6  # progress must rise with each message, however close they are


class Reporter:
    """Sends messages about one call, its progress the seconds since the call began."""

    def __init__(self, context: Context, *, total: float | None) -> None:
        self._context = context
        self._total = total
        self._began = anyio.current_time()
        self._last = 0.0

    async def say(self, message: str) -> None:
        """One message; nothing where the client asked for none."""
        self._last = max(anyio.current_time() - self._began, self._last + _STEP)
        total = None if self._total is None else max(self._total, self._last)
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):  # nobody listens any more
            await self._context.report_progress(self._last, total, neutral(message))

    @property
    def seconds(self) -> int:
        """Whole seconds since the call began."""
        return int(anyio.current_time() - self._began)


async def report_output(run: Run, reporter: Reporter) -> None:
    """Reports what ``run`` prints, until it is over or this is cancelled."""
    await reporter.say(f"starting {run.what.splitlines()[0]}")
    while not run.finished.is_set():
        fresh = newest_first(run.take_fresh())
        if fresh:
            await reporter.say(fresh)
            await anyio.sleep(_PAUSE)
            continue
        with anyio.move_on_after(_SILENCE) as silence:
            await run.news.wait()
        if silence.cancelled_caught:
            await reporter.say(f"{run.status} for {reporter.seconds} s")


class Lines:
    """What is told about something that goes on: the newest line, for whoever reports it."""

    def __init__(self) -> None:
        self._newest = ""
        self._told = anyio.Event()

    def tell(self, line: str) -> None:
        """Replaces what was not taken."""
        self._newest = line
        self._told.set()

    async def take(self) -> str:
        """The newest one, once there is one."""
        await self._told.wait()
        self._told = anyio.Event()
        return self._newest


async def report_waiting(reporter: Reporter, what: str, lines: Lines) -> None:
    """Reports ``lines``, and now and then that it is still ``what``, until this is cancelled."""
    while True:
        message = ""
        with anyio.move_on_after(_SILENCE):
            message = await lines.take()
        await reporter.say(message or f"{what} for {reporter.seconds} s")
        await anyio.sleep(_PAUSE)


def newest_first(output: str) -> str:
    """The lines of ``output``, the last one first: a one-line display shows where the program is."""
    return "\n".join(line for line in reversed(neutral(output).splitlines()) if line.strip())
