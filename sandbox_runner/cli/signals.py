"""Ctrl-C, SIGTERM and SIGHUP end a run in good order."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 5  # seconds after a signal in which the run's last output may be written
_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Ending:
    """What a signal ends: the run once there is one, else this task.

    A second signal ends the task in any case, and so does `PATIENCE`: a reader of our output
    that takes none holds the run's end up.
    """

    def __init__(self, task: "asyncio.Task[object]") -> None:
        self._task = task
        self._last_call: asyncio.TimerHandle | None = None
        self.signal: int | None = None
        self.cancel_run: Callable[[], None] | None = None

    def request(self, number: int) -> None:
        """The signal ``number`` has come."""
        if self.signal is None and self.cancel_run is not None:
            self.cancel_run()
            self._last_call = asyncio.get_running_loop().call_later(PATIENCE, self._task.cancel)
        else:
            self._task.cancel()
        self.signal = self.signal or number

    def close(self) -> None:
        """All is over: nothing is ended any more."""
        if self._last_call is not None:
            self._last_call.cancel()


@contextmanager
def ending_signals() -> Iterator[Ending]:
    """Within it the signals end what `Ending` says; the first one's number is noted there.

    One that is ignored stays so: nohup and a shell's background jobs mean it.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    ending = Ending(task)
    previous = {}
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            # Not loop.add_signal_handler: Windows has none.
            previous[number] = signal.signal(
                number, lambda number, frame: loop.call_soon_threadsafe(ending.request, number) and None
            )
    try:
        yield ending
    finally:
        ending.close()
        for number, handler in previous.items():
            signal.signal(number, handler)
