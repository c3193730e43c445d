"""Calls to the daemon: in worker threads, repeated where that is safe, its errors mapped in one table."""

import re
from collections.abc import Callable
from typing import TypeVar

import requests.exceptions
import tenacity
from anyio import CapacityLimiter, to_thread
from docker import errors as docker_errors

from sandbox_runner.errors import (
    ContainerLost,
    ControlNotEnforced,
    EngineError,
    EngineUnavailable,
    ImageNotFound,
    StartFailed,
)

T = TypeVar("T")

_ATTEMPTS = 5
_TRANSIENT_STATUS = {502, 503, 504}
_THREADS = 256


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed a moment later: the daemon did not answer, or said so itself."""
    if isinstance(error, docker_errors.APIError):
        return error.status_code in _TRANSIENT_STATUS
    return isinstance(error, requests.exceptions.ConnectionError)


repeatable = tenacity.retry(
    retry=tenacity.retry_if_exception(is_transient),
    wait=tenacity.wait_random_exponential(multiplier=0.05, max=1),
    stop=tenacity.stop_after_attempt(_ATTEMPTS),
    reraise=True,
)
"""Repeats an idempotent call up to five times on a transient fault, with exponential jitter."""


class Caller:
    """Runs blocking calls of one client in worker threads of their own."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.limiter = CapacityLimiter(_THREADS)

    async def __call__(self, call: Callable[[], T], *, abandon: bool = False) -> T:
        """``call()``, its errors as EngineError.

        A cancellation waits for it, as what it began must be known; with ``abandon`` it is left
        behind in its thread, for a call that begins nothing and ends with the container.

        Raises EngineUnavailable, ImageNotFound, ControlNotEnforced, StartFailed or ContainerLost.
        """
        try:
            return await to_thread.run_sync(call, abandon_on_cancel=abandon, limiter=self.limiter)
        except (docker_errors.DockerException, requests.exceptions.RequestException, OSError) as error:
            raise mapped(error, self._address) from error


_BY_TEXT: tuple[tuple[str, type[EngineError], str], ...] = (
    (r"no space left on device", StartFailed, "The engine's disk is full; free some space, then try again."),
    (
        r"(?i)unknown (or invalid )?runtime|runtime .* not found|unknown runtime specified",
        ControlNotEnforced,
        "The engine does not know the configured oci_runtime; register it there or change oci_runtime.",
    ),
    (
        r"(?i)seccomp",
        ControlNotEnforced,
        "The engine cannot apply our seccomp profile, so nothing was run; use one with seccomp support.",
    ),
    (
        r"(?i)range of cpus|nano ?cpus|cpu.*(available|range)",
        StartFailed,
        "The engine has fewer cores than were asked for; lower cpus.",
    ),
)


def mapped(error: Exception, address: str) -> EngineError:
    """The error of ours that ``error``, raised by the SDK, means."""
    text = str(getattr(error, "explanation", None) or error)
    if isinstance(error, docker_errors.ImageNotFound):
        return ImageNotFound("The image is not on the engine; run: sandbox-runner setup")
    if isinstance(error, docker_errors.NotFound):
        return ContainerLost("The container was removed while it was in use; run the program again.")
    if not isinstance(error, docker_errors.APIError):
        return EngineUnavailable(
            f"The Docker engine at {address} stopped answering; check it, then try again."
        )
    for pattern, kind, message in _BY_TEXT:
        if re.search(pattern, text):
            return kind(message)
    return StartFailed(f"The engine refused the container: {_first_line(text)}")


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:300] if text.strip() else "it gave no reason"
