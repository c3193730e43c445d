"""Ctrl-C, SIGTERM and SIGHUP end a run in good order."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

PATIENCE = 5  # seconds after a signal in which the run's last output may be written
_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Ending:
    """What a signal ends: the run once there is one, else the task that is to follow it.

    A second signal ends the task in any case, and so does `PATIENCE`: a reader of our output
    that takes none holds the run's end up. While no task follows, a signal is noted: whoever
    begins a run must not be torn away from what it has begun.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._last_call: asyncio.TimerHandle | None = None
        self.signal: int | None = None
        self.cancel_run: Callable[[], None] | None = None

    @contextmanager
    def ends(self, task: "asyncio.Task[object]") -> Iterator[None]:
        """Within it a signal ends ``task``, and so does one that came before."""
        self._task = task
        if self.signal is not None:
            task.cancel()
        try:
            yield
        finally:
            self._task = None
            if self._last_call is not None:
                self._last_call.cancel()

    def arrived(self, number: int, _frame: FrameType | None) -> None:
        """The signal ``number`` has come."""
        if self._task is None:
            self.signal = self.signal or number
        else:
            self._task.get_loop().call_soon_threadsafe(self._end, number)

    def _end(self, number: int) -> None:
        if self._task is None:
            return  # it was over just then
        if self.signal is None and self.cancel_run is not None:
            self.cancel_run()
            self._last_call = self._task.get_loop().call_later(PATIENCE, self._task.cancel)
        else:
            self._task.cancel()
        self.signal = self.signal or number


@contextmanager
def ending_signals() -> Iterator[Ending]:
    """Within it the signals end what `Ending` says; the first one's number is noted there.

    One that is ignored stays so: nohup and a shell's background jobs mean it.
    """
    ending = Ending()
    previous = {}
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            # Not loop.add_signal_handler: Windows has none, and there is no loop yet.
            previous[number] = signal.signal(number, ending.arrived)
    try:
        yield ending
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
