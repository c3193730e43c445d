"""Connections that send nothing, or their headers byte by byte, cannot keep others out.

uvicorn bounds the pause between two requests, but not the time for the headers of one, nor the number of
connections. Bodies are bounded in `bodies`.
"""

import asyncio
from collections.abc import Iterable

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_TIME = 10.0  # seconds from a connection's, or a request's, first byte to the end of its headers
MOST = 1000  # connections at once

try:
    import resource

    _FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
except ImportError:  # Windows
    _FILES = 2 * MOST


class BoundedConnection(H11Protocol):
    """uvicorn's connection; it is cut where its headers take too long, or others need its place."""

    _waiting_since: float | None = None
    _cut_off: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """Makes room for the newcomer: the one that has sent no request for the longest time gives way."""
        if len(self.connections) >= min(MOST, _FILES // 2):
            waiting = [each for each in _bounded(self.connections) if each._waiting_since is not None]
            if not waiting:
                transport.abort()
                return
            min(waiting, key=lambda each: each._waiting_since or 0.0).transport.abort()
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Watches the time until the headers are complete."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self._stop_watching()
        if self.transport is not None:
            super().connection_lost(exc)

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_watching()
        elif self._cut_off is None and not self.transport.is_closing():
            self._waiting_since = self.loop.time()
            self._cut_off = self.loop.call_later(HEADER_TIME, self.transport.abort)

    def _stop_watching(self) -> None:
        self._waiting_since = None
        if self._cut_off is not None:
            self._cut_off.cancel()
            self._cut_off = None


def _bounded(connections: Iterable[object]) -> Iterable[BoundedConnection]:
    return (each for each in connections if isinstance(each, BoundedConnection))
