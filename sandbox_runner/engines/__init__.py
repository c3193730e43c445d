"""The seam between deciding and enforcing: what an engine must do, and the choice of one."""

from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeAlias

from sandbox_runner.spec import ContainerSpec, Image, Job, ResolvedLimits

if TYPE_CHECKING:
    from sandbox_runner.events import Event, Exited, Status

TOO_MUCH_LEFT = "What is in the workspace takes more than the run's memory; raise memory, or leave less."

Emit: TypeAlias = "Callable[[Event], Awaitable[None]]"


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine has to share out: cores, and bytes of memory. ``local``: it is this machine."""

    cpus: int
    memory: int
    local: bool


class Container(Protocol):
    """A started container. It belongs to one caller and is removed when its context ends."""

    id: str

    async def prepare(self) -> None:
        """Has the interpreter that waits for a job import ``spec.preload``; returns when that is done.

        For a container that is started ahead of its run: a run that is there already would wait for it.
        Raises StartFailed, or ContainerLost.
        """
        ...

    async def execute(self, job: Job, emit: Emit) -> "Exited":
        """Runs ``job``; hands Started and each Output to ``emit`` as they come.

        While ``emit`` waits nothing is read, so that in the end the program waits, too.

        Returns how the program ended, also where the container died under it. The wall time is
        enforced here even if what runs inside does not.
        Raises InvalidRequest where the program or a file cannot be put in place, ContainerLost
        where the engine went away.
        """
        ...

    async def lost(self) -> None:
        """Returns when the container, which has no job now, has died. Cancel it before `execute`."""
        ...

    async def why_lost(self) -> "Status":
        """Once `lost` has returned: ``out_of_memory`` where it died for want of that, else ``signaled``.

        Raises EngineError where the engine cannot tell.
        """
        ...

    async def cpu_time(self) -> float | None:
        """Seconds of CPU time of all that ever ran in it, as the engine counts; None where it does not.

        Raises EngineError.
        """
        ...

    async def resize(self, limits: ResolvedLimits) -> None:
        """Gives a container that runs no job the memory, cpus and pids of ``limits``.

        Raises ControlNotEnforced where it cannot, InvalidRequest where what the jobs so far have left in the
        workspace takes more than that memory.
        """
        ...

    async def cancel(self) -> None:
        """Ends the running job; `execute` then returns ``cancelled``. Harmless at any time.

        It may go on to wait, in order to force the end: cancel it when `execute` has returned.
        """
        ...


class Engine(Protocol):
    """A container engine: all that `runner` knows of one.

    ``resizes`` names the limits that it changes so fast that a waiting container may be taken for a run of
    others.
    """

    resizes: Collection[str]

    async def image(self, name: str) -> Image:
        """The image that ``name`` means now: one of ours by its short name, else as the engine knows it.

        Raises ImageNotFound where it is missing or older than this version.
        """
        ...

    def create(self, spec: ContainerSpec) -> AbstractAsyncContextManager[Container]:
        """A started container. However the context ends, the container is gone after it.

        Raises StartFailed, ControlNotEnforced, EngineUnavailable or ContainerLost.
        """
        ...

    async def derive(self, base: Image, name: str, layer: BinaryIO) -> None:
        """Has ``name`` mean the image ``base`` with ``layer``, an archive of ours, on top. Nothing is run.

        Raises StartFailed or EngineUnavailable; then there is no such image.
        """
        ...

    async def discard(self, name: str) -> None:
        """Removes an image that `derive` made, if it is there. Raises EngineError where it is in use."""
        ...

    async def facts(self) -> EngineFacts:
        """Raises EngineUnavailable."""
        ...
