"""Everything this package raises.

    SandboxError
    ├─ RequestRejected     the caller can fix it
    │  ├─ InvalidRequest
    │  ├─ UnknownLanguage
    │  ├─ LimitExceeded
    │  ├─ NotPermitted
    │  ├─ SessionEnded
    │  └─ InstallFailed
    ├─ Busy                retry later; carries ``retry_after`` in seconds
    │  ├─ QueueFull
    │  ├─ RateLimited
    │  └─ QuotaExceeded
    ├─ ConfigError         a setting is wrong; nothing was started
    └─ EngineError         the operator can fix it
       ├─ EngineUnavailable
       ├─ ImageNotFound
       ├─ BuildFailed
       ├─ IndexUnavailable
       ├─ StartFailed
       ├─ ControlNotEnforced
       └─ ContainerLost

A program that fails is a result and raises nothing. Each message is one sentence
or two that says what to do next.
"""


class SandboxError(Exception):
    """Root of this package's errors."""


class RequestRejected(SandboxError):
    """The request cannot be run as it stands; changing it helps."""


class InvalidRequest(RequestRejected):
    """The request is malformed: empty code, a bad name, a path outside the workspace."""


class UnknownLanguage(RequestRejected):
    """No installed language has this name."""


class LimitExceeded(RequestRejected):
    """The request asks for more than the operator's ceiling, which the message names."""


class NotPermitted(RequestRejected):
    """The operator's policy does not grant this."""


class SessionEnded(RequestRejected):
    """The session is over, and its state gone; the message says why."""


class InstallFailed(RequestRejected):
    """Packages that were asked for could not be installed. ``lines`` is the end of the installer's output."""

    def __init__(self, message: str, *, lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.lines = lines


class Busy(SandboxError):
    """All places are taken. ``retry_after`` is the suggested delay in seconds."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QueueFull(Busy):
    """The waiting queue has reached its bound."""


class RateLimited(Busy):
    """This principal asks too often."""


class QuotaExceeded(Busy):
    """This principal has used up what it was granted."""


class ConfigError(SandboxError):
    """A setting is wrong; the message names the file, variable or flag, the setting and the remedy."""


class EngineError(SandboxError):
    """The container engine could not do its part."""


class EngineUnavailable(EngineError):
    """No engine answers."""


class ImageNotFound(EngineError):
    """The image is not on the engine, or is older than this version."""


class BuildFailed(EngineError):
    """An image could not be built. ``lines`` is the end of what the installer printed."""

    def __init__(self, message: str, *, lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.lines = lines


class IndexUnavailable(EngineError):
    """The index of packages does not answer, or not as one."""


class StartFailed(EngineError):
    """The engine refused to create or start the container."""


class ControlNotEnforced(EngineError):
    """The engine cannot enforce a control, so nothing was run."""


class ContainerLost(EngineError):
    """The engine went away, or the container was removed behind our back."""
