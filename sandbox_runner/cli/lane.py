"""Blocking calls beside the event loop, in a thread that never delays the end of this process.

A pool's threads are waited for at exit; one that sits in read(2) on an idle stdin, or in write(2)
to a pager that nobody scrolls, would keep a finished run alive.
"""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio

_Result = TypeVar("_Result")


class Lane:
    """Makes calls one after the other, in the order they were asked for."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[asyncio.Future[Any], Callable[[], Any]]] = SimpleQueue()
        Thread(target=self._work, name=name, daemon=True).start()

    async def call(self, function: Callable[[], _Result]) -> _Result:
        """What ``function`` returns or raises. It goes on where the caller is cancelled."""
        import asyncio  # noqa: PLC0415 - loaded by whoever awaits; what only makes a lane has no use for it

        future: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self._calls.put((future, function))
        return await future

    def _work(self) -> None:
        while True:
            future, function = self._calls.get()
            try:
                result, error = function(), None
            except Exception as raised:  # noqa: BLE001 - handed to the caller, whatever it is
                result, error = None, raised
            try:
                future.get_loop().call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:  # the loop has closed: nobody waits
                return


def _settle(future: "asyncio.Future[Any]", result: object, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
