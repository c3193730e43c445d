"""How this program ends: exit statuses, and errors as one line on stderr."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from sandbox_runner.errors import Busy, ConfigError, RequestRejected, SandboxError

if TYPE_CHECKING:
    from sandbox_runner.result import RunResult

USAGE = 2
BUSY = 75  # EX_TEMPFAIL of sysexits.h
FAILED = 125  # as docker run, timeout(1) and env(1) say "not the program, I failed"
TIMED_OUT = 124  # as timeout(1)
# As a shell would report the signal that stands for the outcome: SIGKILL, SIGXCPU, SIGXFSZ, SIGINT.
_BY_STATUS = {
    "timed_out": TIMED_OUT,
    "out_of_memory": 128 + 9,
    "cpu_limit": 128 + 24,
    "output_limit": 128 + 25,
    "cancelled": 128 + 2,
}
_BROKEN_PIPE = 128 + 13
_INTERRUPTED = 128 + 2


def exit_status(result: "RunResult") -> int:
    """The exit status that reports ``result``: the program's own code, 128 + signal, or its outcome's.

    Where the program did not compile it is the compiler's.
    """
    ended = result.compile if result.status == "compile_failed" and result.compile else result
    if ended.exit_code is not None:
        return ended.exit_code
    if ended.signal is not None:
        return 128 + ended.signal
    return _BY_STATUS.get(ended.status, FAILED)


def error_status(error: SandboxError) -> int:
    """The exit status for a run that did not take place."""
    if isinstance(error, RequestRejected | ConfigError):
        return USAGE
    return BUSY if isinstance(error, Busy) else FAILED


class OutputError(Exception):
    """Our stdout takes no more; the cause is the OSError."""


def emit(text: str) -> None:
    """A command's answer on stdout, with a newline. Raises OutputError."""
    if sys.stdout is None:
        return
    try:
        print(text, flush=True)
    except OSError as error:
        raise OutputError from error


def say(message: str) -> None:
    """A message of ours on stderr; a stderr that is closed or broken is no reason to fail."""
    if sys.stderr is not None:
        with suppress(OSError):
            lines = "\n".join(one_line(line) for line in message.splitlines())
            print(f"sandbox-runner: {lines}", file=sys.stderr, flush=True)


def one_line(text: str) -> str:
    """``text`` with what could move the cursor, colour or start a new line made visible."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def guarded(command: Callable[[], int]) -> int:
    """Runs ``command``; every error becomes one line on stderr and an exit status."""
    try:
        return command()
    except SandboxError as error:
        say(_with_delay(error))
        return error_status(error)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except OutputError as error:
        return write_status(error.__cause__)
    except Exception:  # noqa: BLE001 - a bug of ours must not end with a status that a program could have
        import traceback  # noqa: PLC0415 - for bugs only

        traceback.print_exc()
        say("this is a bug; please report it with the lines above.")
        return FAILED


def write_status(error: BaseException | None) -> int:
    """The exit status where our stdout took no more; says why, unless its reader left, as `head` does."""
    # The interpreter flushes stdout when it ends: what is left in it must have a place to go.
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return _BROKEN_PIPE
    reason = error.strerror if isinstance(error, OSError) else error
    say(f"the output cannot be written ({reason}); free the place it goes to, or send it elsewhere.")
    return FAILED


def _with_delay(error: SandboxError) -> str:
    return f"{error} Retry in {error.retry_after:.0f} s." if isinstance(error, Busy) else str(error)
