"""How long a session may last: from its opening, without use, and by the CPU time of all that runs in it."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from sandbox_runner.errors import SessionEnded

_ANOTHER = "; open another one."


class Term:
    """The bounds of one session, in seconds, from now on. It is over once, for one ``reason``, a sentence."""

    def __init__(self, *, ttl: float, idle: float, cpu_time: float) -> None:
        self.ttl = ttl
        self.idle = idle
        self.cpu_time = cpu_time
        self.cpu_left = cpu_time
        self.reason = ""
        self._end = anyio.current_time() + ttl
        self._used = anyio.current_time()
        self._users = 0
        self._news = anyio.Event()

    @property
    def left(self) -> float:
        """Seconds until it is over if nobody uses the session again."""
        if self.reason:
            return 0.0
        return max(0.0, self._next_end() - anyio.current_time())

    @property
    def spent(self) -> float:
        """Seconds of CPU time that were counted."""
        return self.cpu_time - self.cpu_left

    @contextmanager
    def used(self) -> Iterator[None]:
        """Within it the session is not idle. Raises SessionEnded."""
        self.check()
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._used = anyio.current_time()
            self._wake()

    def check(self) -> None:
        """Raises SessionEnded where the session is over."""
        if self.reason:
            raise SessionEnded(self.reason)

    def spend(self, cpu_time: float) -> None:
        """Counts CPU time, of a run or between two. Where nothing runs and none is left it is over."""
        self.cpu_left -= cpu_time
        self._end_where_used_up()
        self._wake()

    def finish(self, reason: str) -> None:
        """It is over. ``reason`` is a sentence; only the first one counts."""
        self.reason = self.reason or reason
        self._wake()

    async def ended(self) -> str:
        """Waits until it is over; returns the reason."""
        while not self.reason:
            now = anyio.current_time()
            if now >= self._end:
                self.finish(f"The session expired {self.ttl:g} s after it was opened{_ANOTHER}")
            elif not self._users and now >= self._used + self.idle:
                self.finish(f"The session expired after {self.idle:g} s idle{_ANOTHER}")
            elif not self._end_where_used_up():
                await self._sleep(self._next_end() - now)
        return self.reason

    def _end_where_used_up(self) -> bool:
        if self.cpu_left > 0 or self._users:
            return False
        self.finish(f"The session used up its {self.cpu_time:g} s of CPU time{_ANOTHER}")
        return True

    def _next_end(self) -> float:
        return self._end if self._users else min(self._end, self._used + self.idle)

    async def _sleep(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._news.wait()

    def _wake(self) -> None:
        news, self._news = self._news, anyio.Event()  # there may be several who wait
        news.set()
