"""Calls to the daemon from an event loop: in worker threads."""

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from sandbox_runner.engines.docker.faults import engine_errors

T = TypeVar("T")

_THREADS = 256


class Caller:
    """Runs blocking calls of one client in worker threads of their own."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.limiter = CapacityLimiter(_THREADS)

    async def __call__(self, call: Callable[[], T], *, abandon: bool = False) -> T:
        """``call()``, its errors as EngineError.

        A cancellation by anyio waits for it, as what it began must be known; one by asyncio itself
        leaves it behind in its thread. So does any with ``abandon``, for a call that begins nothing
        and ends with the container.

        Raises EngineUnavailable, ImageNotFound, ControlNotEnforced, StartFailed or ContainerLost.
        """
        with engine_errors(self._address):
            return await to_thread.run_sync(call, abandon_on_cancel=abandon, limiter=self.limiter)
