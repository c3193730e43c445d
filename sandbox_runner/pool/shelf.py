"""The waiting containers of one kind: each handed out once, to whoever asked first."""

from collections import deque
from dataclasses import dataclass, field

import anyio

from sandbox_runner.engines import Container
from sandbox_runner.pool.demand import Demand
from sandbox_runner.spec import ContainerSpec


class Waiting:
    """A started container that waits for its one run. ``since`` is the pool's time."""

    def __init__(self, container: Container, *, since: float) -> None:
        self.container = container
        self.since = since
        self._watch = anyio.CancelScope()
        self._watched = anyio.Event()
        self._taken = False
        self._died = False
        self._released = anyio.Event()
        self._gone = anyio.Event()

    async def wait(self) -> bool:
        """Returns when it is to be removed: dismissed, released by its run, or dead while it waited.

        Whether it is that.
        """
        with self._watch:
            await self.container.lost()
            self._died = True
        self._watched.set()
        if self._taken:
            await self._released.wait()
        return self._died

    def dismiss(self) -> None:
        """Has it removed."""
        self._watch.cancel()

    async def take(self) -> Container | None:
        """The container, which nothing else touches any more; None where it has died."""
        self._taken = True
        self._watch.cancel()
        await self._watched.wait()
        return None if self._died else self.container

    async def give_back(self) -> None:
        """Has it removed; returns when it is gone."""
        self._released.set()
        await self._gone.wait()

    def note_gone(self) -> None:
        """It has been removed."""
        self._gone.set()


@dataclass(slots=True)
class _Claim:
    """A run that waits for a container which is being started."""

    settled: anyio.Event = field(default_factory=anyio.Event)
    waiting: Waiting | None = None


class Shelf:
    """``template`` is the spec of the run that was first; ``used`` the pool's time of the last one.

    Nothing is started before ``rests``.
    """

    def __init__(self, template: ContainerSpec, demand: Demand, *, now: float) -> None:
        self.template = template
        self.demand = demand
        self.used = now
        self.rests = now
        self.starting = 0
        self.waiting: deque[Waiting] = deque()
        self._claims: deque[_Claim] = deque()

    @property
    def count(self) -> int:
        """Containers that wait or will."""
        return len(self.waiting) + self.starting - len(self._claims)

    @property
    def memory(self) -> int:
        """Their memory limits together, in bytes."""
        return self.count * self.template.limits.memory

    async def take(self) -> Waiting | None:
        """The oldest that waits, or the next that is up; None where none is to come."""
        if self.waiting:
            waiting = self.waiting.popleft()
            self.demand.took(left=self.count)
            return waiting
        self.demand.missed()
        if self.starting <= len(self._claims):
            return None
        claim = _Claim()
        self._claims.append(claim)
        try:
            await claim.settled.wait()
        except BaseException:  # a cancellation: what it was given must not be lost
            if claim.waiting is not None:
                self.offer(claim.waiting)
            elif claim in self._claims:
                self._claims.remove(claim)
            raise
        return claim.waiting

    def offer(self, waiting: Waiting) -> None:
        """Puts a container where it is needed."""
        if self._claims:
            self._settle(waiting)
        else:
            self.waiting.append(waiting)

    def note_started(self, waiting: Waiting | None) -> None:
        """A start is over; None where it failed."""
        self.starting -= 1
        if waiting is not None:
            self.offer(waiting)
        while len(self._claims) > self.starting:
            self._settle(None)

    def _settle(self, waiting: Waiting | None) -> None:
        claim = self._claims.popleft()
        claim.waiting = waiting
        claim.settled.set()
