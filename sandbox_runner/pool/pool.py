"""The pool: keeps containers waiting, hands each out once, and gives way to running work.

What waits holds memory limits but no place among those that run. It is started only where both are
to spare, and removed where a run needs the memory.
"""

import logging
import math
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from typing import BinaryIO

import anyio
from anyio.abc import TaskGroup

from sandbox_runner.capacity import SANDBOXES_PER_CORE, Capacity
from sandbox_runner.engines import Container, Engine, EngineFacts
from sandbox_runner.errors import EngineError, SandboxError
from sandbox_runner.keeping import cancelled_group
from sandbox_runner.pool.demand import Bounds, Demand
from sandbox_runner.pool.kind import Kind, kind_of, started_ahead
from sandbox_runner.pool.shelf import Shelf, Waiting
from sandbox_runner.spec import ContainerSpec, Image, Placement

_LOG = logging.getLogger(__name__)
_OLDEST = 600.0  # seconds that one may wait: its lease, a label, must end some time
_PAUSE = 0.01  # seconds for a run to be over, if it is short, before the start of another container competes
_REST = 1.0  # seconds until one that died is replaced: the next may die as well

Lease = Callable[[], AbstractContextManager[Placement]]


class Pool:
    """An engine whose containers may have been started ahead. Made by `open_pool`."""

    def __init__(
        self,
        engine: Engine,
        capacity: Capacity,
        lease: Lease,
        bounds: Bounds,
        *,
        longest_run: float,
        tasks: TaskGroup,
    ) -> None:
        self.resizes: Collection[str] = engine.resizes
        self._engine = engine
        self._capacity = capacity
        self._lease = lease
        self._bounds = bounds
        self._longest_run = longest_run
        self._tasks = tasks
        self._shelves: dict[Kind, Shelf] = {}
        self._changed = anyio.Event()
        capacity.when_freed = self.look_again

    @property
    def waiting(self) -> list[str]:
        """The ids of the containers that wait."""
        return [each.container.id for shelf in self._shelves.values() for each in shelf.waiting]

    async def image(self, name: str) -> Image:
        """As the engine does it."""
        return await self._engine.image(name)

    async def facts(self) -> EngineFacts:
        """As the engine does it."""
        return await self._engine.facts()

    async def derive(self, base: Image, name: str, layer: BinaryIO) -> None:
        """As the engine does it."""
        await self._engine.derive(base, name, layer)

    async def discard(self, name: str) -> None:
        """As the engine does it."""
        await self._engine.discard(name)

    @asynccontextmanager
    async def create(self, spec: ContainerSpec) -> AsyncIterator[Container]:
        """A container for ``spec``, one that waits where there is one of its kind; gone in the end.

        Raises what the engine raises.
        """
        while (waiting := await self._take(spec)) is not None:
            try:
                container = await waiting.take()
                if container is not None:
                    await self._give_way()
                    if self.resizes:
                        await container.resize(spec.limits)
                    yield container
                    return
            finally:
                with anyio.CancelScope(shield=True):
                    await waiting.give_back()
        await self._give_way()
        async with self._engine.create(spec) as container:
            yield container

    def look_again(self) -> None:
        """Something has changed: there may be something to start or to remove."""
        self._changed.set()

    async def tend(self) -> None:
        """Starts what is wanted and removes what is not, for as long as it is not cancelled."""
        while True:
            self.look_again()
            self._changed = anyio.Event()
            self._review(anyio.current_time())
            with suppress(EngineError):  # it does not tell its size; the runs will meet the same
                await self._give_way()
                while (shelf := await self._next_to_fill()) is not None:
                    shelf.starting += 1
                    self._tasks.start_soon(self._keep_one, shelf)
            with anyio.CancelScope(deadline=self._next_review()):
                await self._changed.wait()

    async def _take(self, spec: ContainerSpec) -> Waiting | None:
        kind = kind_of(spec, resizes=self.resizes)
        if kind is None:
            return None
        now = anyio.current_time()
        self._drop_other_images(spec.image)
        shelf = self._shelves.get(kind)
        if shelf is None:
            self._shelves[kind] = Shelf(spec, Demand(self._bounds, now=now), now=now)
            self.look_again()
            return None
        shelf.used = now
        if shelf.rests <= now:
            shelf.rests = now + _PAUSE
        try:
            return await shelf.take()
        finally:
            self._dismiss_dropped(shelf)
            self.look_again()

    def _drop_other_images(self, image: Image) -> None:
        """What a name meant before is never handed out again, so it need not wait either."""
        for kind, shelf in list(self._shelves.items()):
            if shelf.template.image.name == image.name and shelf.template.image.id != image.id:
                self._drop(kind)

    def _drop(self, kind: Kind) -> None:
        self._dismiss_dropped(self._shelves.pop(kind))

    def _dismiss_dropped(self, shelf: Shelf) -> None:
        """Dismisses all on a shelf that is the pool's no longer."""
        while shelf.waiting and shelf not in self._shelves.values():
            shelf.waiting.popleft().dismiss()

    def _review(self, now: float) -> None:
        for kind, shelf in list(self._shelves.items()):
            while shelf.waiting and now - shelf.waiting[0].since >= _OLDEST:
                shelf.waiting.popleft().dismiss()
            shelf.demand.review(now=now, waiting=shelf.count)
            while shelf.waiting and shelf.count > shelf.demand.target:
                shelf.waiting.popleft().dismiss()
            if not shelf.demand.target and not shelf.starting:
                self._drop(kind)

    def _next_review(self) -> float:
        times = [shelf.demand.due for shelf in self._shelves.values()]
        times += [each.since + _OLDEST for shelf in self._shelves.values() for each in shelf.waiting]
        times += [shelf.rests for shelf in self._shelves.values() if shelf.rests > anyio.current_time()]
        return min(times, default=math.inf)

    async def _next_to_fill(self) -> Shelf | None:
        """Whose next container may be started now: that used last of those that want one."""
        now = anyio.current_time()
        wanting = [
            shelf
            for shelf in self._shelves.values()
            if shelf.count < shelf.demand.target and shelf.rests <= now
        ]
        if not wanting:
            return None
        shelf = max(wanting, key=lambda each: each.used)
        spare = await self._capacity.spare()
        starting = sum(each.starting for each in self._shelves.values())
        if starting >= max(1, spare.sandboxes // SANDBOXES_PER_CORE) or starting >= spare.sandboxes:
            return None
        if self._memory() + shelf.template.limits.memory > spare.memory:
            return None
        if sum(each.count for each in self._shelves.values()) >= self._bounds.most:
            return shelf if self._dismiss_one(than=shelf.count) else None
        return shelf

    async def _keep_one(self, shelf: Shelf) -> None:
        """Starts a container for ``shelf`` and holds it until it is to be removed."""
        waiting: Waiting | None = None
        try:
            with self._lease() as placement:
                used = shelf.template.lifetime or self._longest_run
                spec = started_ahead(shelf.template, placement, lease=_OLDEST + used)
                async with self._engine.create(spec) as container:
                    await container.prepare()
                    waiting = Waiting(container, since=anyio.current_time())
                    await self._hold(shelf, waiting)
        except SandboxError as error:
            # The next run meets the same and tells its caller; until then nothing is tried again.
            _LOG.debug("no container was started ahead, or it was left to the watchdog: %s", error)
        finally:
            if waiting is None:
                shelf.demand.target = 0
                shelf.note_started(None)
            else:
                waiting.note_gone()
            self.look_again()

    async def _hold(self, shelf: Shelf, waiting: Waiting) -> None:
        shelf.note_started(waiting)
        self._dismiss_dropped(shelf)
        self.look_again()
        if await waiting.wait():
            shelf.rests = anyio.current_time() + _REST
            with suppress(ValueError):  # a run has just been given it, and found it dead, too
                shelf.waiting.remove(waiting)

    async def _give_way(self) -> None:
        """Dismisses what no longer fits beside what runs."""
        while any(shelf.waiting for shelf in self._shelves.values()):
            if self._memory() <= (await self._capacity.spare()).memory or not self._dismiss_one(than=0):
                return

    def _dismiss_one(self, *, than: int) -> bool:
        """Dismisses one of the kind of which the most wait, if more than ``than`` do."""
        shelves = [shelf for shelf in self._shelves.values() if shelf.waiting and shelf.count > than]
        if not shelves:
            return False
        shelf = max(shelves, key=lambda each: (len(each.waiting), -each.used))
        shelf.waiting.popleft().dismiss()
        return True

    def _memory(self) -> int:
        return sum(shelf.memory for shelf in self._shelves.values())


@asynccontextmanager
async def open_pool(
    engine: Engine, capacity: Capacity, lease: Lease, bounds: Bounds, *, longest_run: float
) -> AsyncIterator[Pool]:
    """A pool over ``engine``. When the context ends all that waits is gone.

    ``lease`` places a container; ``longest_run`` is the most seconds that a run may take.
    """
    async with cancelled_group() as tasks:
        pool = Pool(engine, capacity, lease, bounds, longest_run=longest_run, tasks=tasks)
        tasks.start_soon(pool.tend)
        yield pool
