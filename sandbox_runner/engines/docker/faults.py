"""When a call to the daemon fails: repeated where that is safe, its errors mapped in one table."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import requests.exceptions
from docker import errors as docker_errors

from sandbox_runner.errors import (
    ContainerLost,
    ControlNotEnforced,
    EngineError,
    EngineUnavailable,
    ImageNotFound,
    StartFailed,
)

if TYPE_CHECKING:
    import tenacity

P = ParamSpec("P")
T = TypeVar("T")

_ATTEMPTS = 5
_TRANSIENT_STATUS = {502, 503, 504}


class AnswerLost(docker_errors.DockerException):
    """The daemon did what it was asked, its answer was lost, and the deed has been undone."""


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed a moment later: the daemon did not answer, or said so itself."""
    if isinstance(error, docker_errors.APIError):
        return error.status_code in _TRANSIENT_STATUS
    return isinstance(error, requests.exceptions.ConnectionError | AnswerLost)


def repeatable(call: Callable[P, T]) -> Callable[P, T]:
    """Repeats an idempotent call on a transient fault, five times at most, with exponential jitter."""

    @wraps(call)
    def repeated(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except Exception as error:
            if not is_transient(error):
                raise
        return _persevering()(call, *args, **kwargs)

    return repeated


def _persevering() -> "tenacity.Retrying":
    import tenacity  # noqa: PLC0415 - few runs meet a fault

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_transient),
        wait=tenacity.wait_random_exponential(multiplier=0.05, max=1),
        stop=tenacity.stop_after_attempt(_ATTEMPTS - 1),
        reraise=True,
    )


@contextmanager
def engine_errors(address: str) -> Iterator[None]:
    """What the SDK raises within, as an EngineError.

    Raises EngineUnavailable, ImageNotFound, ControlNotEnforced, StartFailed or ContainerLost.
    """
    try:
        yield
    except (docker_errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        raise mapped(error, address) from error


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
