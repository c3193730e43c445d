"""Runs programs of this machine (apt-get, mmdebstrap, systemctl) and hands on what they print."""

import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

LAST_LINES = 15
_LOOK = 1.0  # seconds between two looks whether a program may go on


class CommandFailed(Exception):
    """A program ended with another status than 0. ``lines`` is the end of what it printed."""

    def __init__(self, message: str, lines: tuple[str, ...]) -> None:
        super().__init__(message)
        self.lines = lines


def run_command(
    argv: Sequence[str],
    *,
    on_line: Callable[[str], None],
    timeout: float,
    env: Mapping[str, str] | None = None,
    keep: int = LAST_LINES,
    go_on: Callable[[], bool] = lambda: True,
) -> tuple[str, ...]:
    """Runs ``argv`` to its end and returns the last ``keep`` lines it printed, errors included.

    Each line is given to ``on_line`` as it comes; ``env`` is added to the environment.
    Raises CommandFailed where it cannot be started, fails, takes more than ``timeout`` seconds, or ``go_on``,
    asked every second, says no.
    """
    lines: deque[str] = deque(maxlen=keep)
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **(env or {})},
        )
    except OSError as error:
        raise CommandFailed(f"{argv[0]} could not be started: {error.strerror}.", ()) from error
    over = threading.Event()

    def end_it() -> None:
        give_up = time.monotonic() + timeout
        while not over.wait(_LOOK):
            if time.monotonic() > give_up or not go_on():
                process.kill()
                return

    threading.Thread(target=end_it, daemon=True).start()
    try:
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                if text := line.strip():
                    lines.append(text)
                    on_line(text)
    finally:
        over.set()
    if process.returncode < 0:
        raise CommandFailed(f"{argv[0]} was killed, or did not end within {timeout:.0f} s.", tuple(lines))
    if process.returncode:
        raise CommandFailed(f"{argv[0]} failed with status {process.returncode}.", tuple(lines))
    return tuple(lines)
