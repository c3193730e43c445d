"""The seam between those who need packages and what has them, and what it tells meanwhile."""

from collections.abc import Callable
from typing import Protocol

from sandbox_runner.languages import Language
from sandbox_runner.request import Principal, RunRequest

Tell = Callable[[str], None]
"""Takes a line for people, in the event loop; must not block."""


def tell_nobody(_line: str) -> None:
    """For those who do not ask."""


class PackageSource(Protocol):
    """Where the packages of a request come from; `PackageImages` is one."""

    async def image(
        self,
        request: RunRequest,
        language: Language | None,
        principal: Principal,
        tell: Tell | None = None,
    ) -> str:
        """The name of the image for ``request``, which `policy.check` has passed, with its packages in it.

        Raises InstallFailed, NotPermitted, Busy, IndexUnavailable, and what the engine raises.
        """
        ...
