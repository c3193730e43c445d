"""How many sandboxes run at once, and who waits.

Waiting is fair: principals take turns, and each one's requests are served in order.
"""

from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from sandbox_runner.engines import EngineFacts
from sandbox_runner.errors import QueueFull

SANDBOXES_PER_CORE = 4  # most wait for their own input, for start or for removal
MEMORY_SHARE = 0.75  # of what is free, for the limits of all sandboxes together


@dataclass(frozen=True, slots=True)
class Room:
    """The most that may run at once: a number of sandboxes, and bytes of memory limits together."""

    sandboxes: int
    memory: int


def room(facts: EngineFacts, *, max_concurrent: int | None) -> Room:
    """What ``facts`` leave room for. A configured ``max_concurrent`` replaces the count, not the memory."""
    count = max_concurrent or max(1, facts.cpus * SANDBOXES_PER_CORE)
    return Room(count, int(facts.memory * MEMORY_SHARE))


@dataclass(slots=True, eq=False)
class Place:
    """A place that is held, with its bytes of memory limits.

    ``wanted`` is there once only its container is still to go, and set when somebody waits for a place.
    """

    memory: int
    wanted: anyio.Event | None = None


@dataclass(slots=True)
class _Waiter:
    memory: int
    admitted: anyio.Event
    place: Place | None = None


class Capacity:
    """Places for sandboxes. ``measure`` is asked once, when a second one wants to run beside the first."""

    def __init__(self, measure: Callable[[], Awaitable[Room]], *, queue_size: int) -> None:
        self._measure = measure
        self._measuring = anyio.Lock()
        self._room: Room | None = None
        self._queue_size = queue_size
        self._held: list[Place] = []
        self._queues: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self.when_freed: Callable[[], None] = lambda: None
        """Called when there is more to spare."""

    @asynccontextmanager
    async def place(self, principal: str, *, memory: int) -> AsyncIterator[Place]:
        """Holds a place for ``memory`` bytes; waits for it in turn.

        Raises QueueFull where too many wait already. For each place that is being left one more may wait:
        who has just had a result can ask for the next.
        """
        place = await self._enter(principal, memory)
        try:
            yield place
        finally:
            self._free(place)

    def leave(self, place: Place) -> anyio.Event:
        """Only the container of ``place`` is still to go. What is returned is set when others wait."""
        place.wanted = anyio.Event()
        if self._queues:
            place.wanted.set()
        return place.wanted

    async def spare(self) -> Room:
        """What is left beside those that run; no place where others wait, no memory if they wait for it."""
        await self._know_room()
        assert self._room is not None
        places = max(0, self._room.sandboxes - len(self._held))
        memory = max(0, self._room.memory - self._memory())
        if self._queues:
            return Room(0, 0 if places else memory)
        return Room(places, memory)

    async def most(self) -> int:
        """How many sandboxes may run at once."""
        await self._know_room()
        assert self._room is not None
        return self._room.sandboxes

    async def _enter(self, principal: str, memory: int) -> Place:
        if not self._held and not self._queues:
            return self._take(memory)
        await self._know_room()
        if not self._queues and self._fits(memory):
            return self._take(memory)
        waiting, running = sum(map(len, self._queues.values())), len(self._held)
        if waiting >= self._queue_size + sum(place.wanted is not None for place in self._held):
            raise QueueFull(
                f"{running} sandboxes run and {waiting} requests wait; try again in a moment.",
                retry_after=1.0 + waiting / max(1, running),
            )
        return await self._wait(principal, _Waiter(memory, anyio.Event()))

    async def _wait(self, principal: str, waiter: _Waiter) -> Place:
        self._queues.setdefault(principal, deque()).append(waiter)
        for place in self._held:
            if place.wanted is not None:
                place.wanted.set()
        try:
            await waiter.admitted.wait()
        except BaseException:  # a cancellation, above all: the place must not stay taken
            self._leave(principal, waiter)
            raise
        assert waiter.place is not None
        return waiter.place

    def _leave(self, principal: str, waiter: _Waiter) -> None:
        if waiter.place is not None:  # it got its place and was cancelled before it knew
            self._free(waiter.place)
            return
        self._queues[principal].remove(waiter)
        if not self._queues[principal]:
            del self._queues[principal]
        self._admit_waiting()

    async def _know_room(self) -> None:
        if self._room is None:
            async with self._measuring:
                self._room = self._room or await self._measure()

    def _memory(self) -> int:
        return sum(place.memory for place in self._held)

    def _fits(self, memory: int) -> bool:
        assert self._room is not None
        if not self._held:
            return True
        return len(self._held) < self._room.sandboxes and self._memory() + memory <= self._room.memory

    def _take(self, memory: int) -> Place:
        place = Place(memory)
        self._held.append(place)
        return place

    def _free(self, place: Place) -> None:
        self._held.remove(place)
        self._admit_waiting()
        self.when_freed()

    def _admit_waiting(self) -> None:
        while self._queues:
            principal, queue = next(iter(self._queues.items()))
            if not self._fits(queue[0].memory):
                return
            waiter = queue.popleft()
            self._queues.move_to_end(principal)
            if not queue:
                del self._queues[principal]
            waiter.place = self._take(waiter.memory)
            waiter.admitted.set()
