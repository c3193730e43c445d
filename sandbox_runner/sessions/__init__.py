"""Sessions: one container that serves one caller several times, and keeps what was left in it."""

from sandbox_runner.sessions.session import Session

__all__ = ["Session"]
