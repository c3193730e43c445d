"""Holds what has to be given back: each context in a task of its own, which may outlast its user.

Removing a container takes tens of milliseconds that nobody needs to wait for who has the result.
Here they pass in the background, and still someone waits for them: the group that all tasks belong to.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, TypeVar

import anyio
from anyio.abc import TaskGroup, TaskStatus

T = TypeVar("T")
_LOG = logging.getLogger(__name__)


class Kept(Generic[T]):
    """A context that was entered, with its value. Made by `Keeper.keep`."""

    def __init__(self, value: T) -> None:
        self.value = value
        self._pause = 0.0
        self._hurry: anyio.Event | None = None
        self._released = anyio.Event()
        self._gone = anyio.Event()

    def release(self, *, pause: float = 0.0, hurry: anyio.Event | None = None) -> None:
        """Has the context left, in the background; first there is a pause, in seconds, until ``hurry``.

        Harmless when it is done already.
        """
        self._pause, self._hurry = pause, hurry
        self._released.set()

    async def gone(self) -> None:
        """Returns when the context has been left."""
        await self._gone.wait()


class Keeper:
    """Enters contexts and leaves them again. Made by `open_keeper`."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks

    async def keep(self, context: AbstractAsyncContextManager[T]) -> Kept[T]:
        """Enters ``context``. Raises what that raises; cancelled, it has left the context before it ends."""
        kept: Kept[T] = await self._tasks.start(_hold, context)
        return kept


@asynccontextmanager
async def open_keeper() -> AsyncIterator[Keeper]:
    """A keeper. When the context ends all that it keeps is released and gone."""
    async with cancelled_group() as tasks:
        yield Keeper(tasks)


@asynccontextmanager
async def cancelled_group() -> AsyncIterator[TaskGroup]:
    """A task group that is cancelled at the end; what is raised inside is raised as it is, ungrouped."""
    tasks = anyio.create_task_group()
    await tasks.__aenter__()
    try:
        yield tasks
    finally:
        tasks.cancel_scope.cancel()
        await tasks.__aexit__(None, None, None)


async def _hold(context: AbstractAsyncContextManager[Any], *, task_status: TaskStatus[Kept[Any]]) -> None:
    kept: Kept[Any] | None = None
    try:
        async with context as value:
            kept = Kept(value)
            task_status.started(kept)
            await kept._released.wait()
            if kept._hurry is not None:
                with anyio.move_on_after(kept._pause):
                    await kept._hurry.wait()
    except Exception as error:  # its user is gone, and the others must not end with it
        if kept is None:
            raise
        _LOG.warning("A container may be left to the watchdog: %s", error)
    finally:
        if kept is not None:
            kept._gone.set()
