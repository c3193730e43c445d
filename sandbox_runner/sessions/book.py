"""The sessions that callers hold by a handle: whose each is, and what became of it.

A handle is bound to its principal: another one's is answered like one that never was, by the same steps.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, Protocol, TypeVar

import anyio
from anyio.abc import TaskGroup, TaskStatus

from sandbox_runner.errors import InvalidRequest, QuotaExceeded, SandboxError, SessionEnded
from sandbox_runner.request import Principal

_FINISHED = 1000  # sessions that are over and remembered, so that their owners can be told
_RETRY = 30.0  # seconds
_UNKNOWN = (
    "There is no session {handle!r}: it never was, or it was closed long ago. "
    "list_sessions shows yours; open_session opens another."
)


class Held(Protocol):
    """What the book knows of a session. Its ``id`` is the handle: nobody may be able to guess it."""

    id: str

    async def over(self) -> str:
        """Waits until it is over; returns why, a sentence."""
        ...


T = TypeVar("T", bound=Held)


class Entry(Generic[T]):
    """One session under its handle. ``opened`` and ``ended`` are Unix time in seconds."""

    def __init__(self, principal: Principal, language: str) -> None:
        self.handle = ""
        self.principal = principal
        self.language = language
        self.opened = time.time()
        self.ended: float | None = None
        self.reason = ""
        self._session: T | None = None
        self._closing = anyio.Event()
        self._gone = anyio.Event()

    @property
    def session(self) -> T:
        """Raises SessionEnded where it is over."""
        if self.reason or self._session is None:
            raise SessionEnded(self.reason)
        return self._session

    async def close(self) -> None:
        """Ends the session; returns when its container is gone. Harmless when it is over."""
        self.reason = self.reason or "The session was closed; open another one."
        self._closing.set()
        await self._gone.wait()

    async def hold(self, opening: AbstractAsyncContextManager[T], *, task_status: TaskStatus[None]) -> None:
        """Opens the session and leaves it once it is over. Raises what opening it raises."""
        begun = False
        try:
            async with opening as session:
                self._session, self.handle = session, session.id
                begun = True
                task_status.started()
                over = await self._over(session)
                self.reason = self.reason or over
        except SandboxError as error:  # its opener has been told, and the other sessions must not end with it
            if not begun:
                raise
            self.reason = self.reason or f"The session was lost: {error}"
        finally:
            self._session = None
            self.reason = self.reason or "The session ended with the server."
            self.ended = time.time()
            self._gone.set()

    async def _over(self, session: T) -> str:
        reason = ""
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                nonlocal reason
                reason = await session.over()
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            await self._closing.wait()
            tasks.cancel_scope.cancel()
        return reason


class Book(Generic[T]):
    """All sessions of one server, held in its task group: at most ``most_each`` of one principal.

    What became of one that is over is told to its owner for ``kept`` seconds.
    """

    def __init__(self, tasks: TaskGroup, *, most_each: int, kept: float) -> None:
        self._tasks = tasks
        self._most_each = most_each
        self._kept = kept
        self._opening: list[Entry[T]] = []
        self._entries: OrderedDict[bytes, Entry[T]] = OrderedDict()

    async def open(
        self,
        principal: Principal,
        language: str,
        opening: Callable[[], AbstractAsyncContextManager[T]],
        *,
        most: int,
    ) -> Entry[T]:
        """Opens a session for the principal, one of ``most`` in all.

        Raises QuotaExceeded, and what opening it raises.
        """
        self._forget_old()
        self._check_room(principal, most)
        entry: Entry[T] = Entry(principal, language)
        self._opening.append(entry)
        try:
            await self._tasks.start(_hold, entry, opening)
        finally:
            self._opening.remove(entry)
        self._entries[_key(entry.handle)] = entry
        return entry

    def find(self, handle: str, principal: Principal) -> Entry[T]:
        """The principal's session. Raises InvalidRequest for any other handle, in the same words."""
        self._forget_old()
        entry = self._entries.get(_key(handle))
        if entry is None or entry.principal != principal:
            raise InvalidRequest(_UNKNOWN.format(handle=handle[:100]))
        return entry

    def of(self, principal: Principal) -> list[Entry[T]]:
        """The principal's sessions, those that are over too, the newest first."""
        self._forget_old()
        return [entry for entry in reversed(self._entries.values()) if entry.principal == principal]

    def _check_room(self, principal: Principal, most: int) -> None:
        live = [*self._opening, *(entry for entry in self._entries.values() if entry.ended is None)]
        if sum(entry.principal == principal for entry in live) >= self._most_each:
            raise QuotaExceeded(
                f"You have {self._most_each} sessions open, which is the most (max_sessions_each); "
                "close one with close_session.",
                retry_after=_RETRY,
            )
        if len(live) >= most:
            raise QuotaExceeded(
                f"{most} sessions are open, which is the most (max_sessions); try again later.",
                retry_after=_RETRY,
            )

    def _forget_old(self) -> None:
        oldest = time.time() - self._kept
        finished = [(key, entry.ended) for key, entry in self._entries.items() if entry.ended is not None]
        finished.sort(key=lambda each: each[1])
        surplus = len(finished) - _FINISHED
        for position, (key, ended) in enumerate(finished):
            if position < surplus or ended < oldest:
                del self._entries[key]


def _key(handle: str) -> bytes:
    # By its digest, so that how long a look-up takes tells nothing of the handles there are.
    return hashlib.sha256(handle.encode(errors="surrogatepass")).digest()


async def _hold(
    entry: Entry[T],
    opening: Callable[[], AbstractAsyncContextManager[T]],
    *,
    task_status: TaskStatus[None],
) -> None:
    await entry.hold(opening(), task_status=task_status)
