"""How long a session may last: from its opening, without use, and by the CPU time of all its runs."""

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
        """Counts the CPU time of a run."""
        self.cpu_left -= cpu_time
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
            elif self.cpu_left <= 0 and not self._users:
                self.finish(f"The session used up its {self.cpu_time:g} s of CPU time{_ANOTHER}")
            else:
                await self._sleep(self._next_end() - now)
        return self.reason

    def _next_end(self) -> float:
        return self._end if self._users else min(self._end, self._used + self.idle)

    async def _sleep(self, seconds: float) -> None:
        self._news = anyio.Event()
        with anyio.move_on_after(seconds):
            await self._news.wait()

    def _wake(self) -> None:
        self._news.set()
