"""A session's container while nothing is run in it: whether it dies, and the CPU time that it takes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio

from sandbox_runner.engines import Container
from sandbox_runner.errors import EngineError
from sandbox_runner.events import Status
from sandbox_runner.sessions.term import Term

_OFTEN, _SELDOM = 0.5, 5.0  # seconds between two counts, as the CPU time runs out and before that
_START = 0.5  # seconds of CPU time that the start of a container may have taken
_ANOTHER = ", and its state with it; open another session."
_CAUSES: dict[Status, str] = {
    "out_of_memory": "The session's container ran out of memory and is gone",
    "timed_out": "The session's container no longer answered and was removed",
}


def container_lost(cause: Status | None) -> str:
    """A sentence for who uses the session next; None where the engine cannot tell the cause."""
    if cause is None:
        return f"The session's container was lost{_ANOTHER}"
    return _CAUSES.get(cause, "The session's container died") + _ANOTHER


class Watch:
    """Ends ``term`` when the container dies, and charges it what processes in the background compute.

    All that the container took and no run has reported is theirs. Where the engine cannot tell, they are
    charged all of ``cpus``: a session that nobody can count must not compute for nothing.
    """

    def __init__(self, container: Container, term: Term, *, cpus: float) -> None:
        self._container = container
        self._term = term
        self._cpus = cpus
        self._uncharged: float | None = None  # seconds that the container took before the session
        self._counted = anyio.current_time()
        self._due = self._counted + _OFTEN  # not at once, as the first run is about to begin
        self._looking = anyio.CancelScope()
        self._away = anyio.Event()
        self._away.set()
        self._suspended = False
        self._news = anyio.Event()

    async def keep(self) -> None:
        """Watches until the session is over."""
        while not self._term.reason:
            if self._suspended:
                self._news = anyio.Event()
                await self._news.wait()
                continue
            self._away = anyio.Event()
            with anyio.CancelScope() as self._looking:
                await self._look()
            self._away.set()

    @asynccontextmanager
    async def suspended(self) -> AsyncIterator[None]:
        """Within it something may be run in the container. For one user at a time."""
        try:
            await self.stop()
            yield
        finally:
            self._suspended = False
            self._news.set()

    async def stop(self) -> None:
        """Returns when nobody looks at the container any more: it may be removed."""
        self._suspended = True
        self._looking.cancel()
        await self._away.wait()

    async def _look(self) -> None:
        while not self._term.reason:
            with anyio.move_on_after(self._due - anyio.current_time()):
                await self._container.lost()
                self._term.finish(container_lost(await self._cause()))
                return
            with anyio.CancelScope(shield=True):  # it is short, and the next run would only begin it again
                await self._count()

    async def _cause(self) -> Status | None:
        cause = None
        with anyio.CancelScope(shield=True), suppress(EngineError):
            cause = await self._container.why_lost()
        return cause

    async def _count(self) -> None:
        now, reported = anyio.current_time(), self._term.spent
        used = None
        with suppress(EngineError):
            used = await self._container.cpu_time()
        if used is None:
            self._term.spend((now - self._counted) * self._cpus)
        else:
            if self._uncharged is None:
                self._uncharged = min(_START, used - reported)
            self._term.spend(max(0.0, used - self._uncharged - reported))
        self._counted = now
        self._due = now + min(max(self._term.cpu_left / self._cpus, _OFTEN), _SELDOM)
