"""A run in progress: what happens in a container, for whoever follows it."""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import anyio

from sandbox_runner.engines import Container
from sandbox_runner.errors import SandboxError
from sandbox_runner.events import Artifact, Event, Exited, Output, Started
from sandbox_runner.hardening import LABEL_RUN
from sandbox_runner.output import Pending
from sandbox_runner.result import Collector, RunResult
from sandbox_runner.spec import Admission, Job
from sandbox_runner.stages import executed

_PENDING = 1 << 20  # bytes of output that wait for a slow consumer of `stream`


class RunStream:
    """A run in progress: iterate over its events, cancel it, or wait for its result."""

    def __init__(self, run_id: str, collector: Collector, *, lossless: bool) -> None:
        self.run_id = run_id
        self._collector = collector
        self._waiting: list[Event] = []
        self._pending = Pending(_PENDING)
        self._lossless = lossless
        self._news = anyio.Event()
        self._room = anyio.Event()
        self._over = anyio.Event()
        self.exited: Exited | None = None
        self._failure: SandboxError | None = None
        self._cancels = 0  # how often the container is to be told to end the program
        self._cancel_container: Callable[[], object] = _nothing  # while it runs

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Events as they come, to the last, which is Exited.

        A consumer that is slower than the program gets a Truncated for what it missed, or, with
        ``lossless``, the program waits for it. The result is complete in both cases.
        Raises what the run raised.
        """
        while True:
            for event in self._take():
                yield event
            if self._over.is_set() and not self._pending and not self._waiting:
                break
            await self._news.wait()
        self._raise_failure()
        for output in self._pending.finish():
            yield output
        for artifact in self._collector.artifacts:
            yield artifact
        if self.exited is not None:
            yield self.exited

    async def result(self) -> RunResult:
        """The result, once the program is over. Raises what the run raised."""
        await self._over.wait()
        self._raise_failure()
        assert self.exited is not None
        return self._collector.result(self.exited)

    @property
    def left_nothing(self) -> bool:
        """The program ended by itself or at a limit, and nothing of it can be running any more."""
        return self.exited is not None and not self.exited.reason and self.exited.status != "cancelled"

    def cancel(self) -> None:
        """Ends the program; the result's status is ``cancelled``. Harmless when it is over."""
        self._cancel(1)

    def cancel_at_once(self) -> None:
        """As `cancel`, and a session's kernel is not given the time to heed it: its state is lost."""
        self._cancel(2)

    def let_go(self) -> None:
        """Nobody reads its events any more, so it waits for nobody."""
        self._lossless = False
        self._room.set()

    async def over(self) -> None:
        """Returns when the program is over, or what ran it has failed."""
        await self._over.wait()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _take(self) -> list[Event]:
        self._news = anyio.Event()
        self._room.set()
        events, self._waiting = self._waiting, []
        return [*events, *self._pending.take()]

    async def _emit(self, event: Event) -> None:
        if isinstance(event, Output):
            self._collector.add(event)
            while self._lossless and not self._pending.has_room(len(event.data)):
                self._room = anyio.Event()
                await self._room.wait()
            self._pending.add(event.stream, event.data, offset=event.offset)
        elif isinstance(event, Started):
            self._waiting.append(Started(self.run_id))  # a container that waited has another id of its own
        elif isinstance(event, Artifact):
            self._collector.artifacts.append(event)
        self._news.set()

    async def drive(self, container: Container, admission: Admission) -> None:
        """Runs what was admitted to its end; what it raises is kept for whoever asks for the result."""
        try:
            async with anyio.create_task_group() as tasks:
                self._cancel_container = partial(tasks.start_soon, container.cancel)
                for _ in range(self._cancels):
                    self._cancel_container()
                try:
                    self.exited = await executed(container, admission, self._emit)
                finally:
                    self._cancel_container = _nothing
                if self._cancels:
                    tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            error = _first(group)
            if not isinstance(error, SandboxError):
                raise error from None
            self._failure = error
        self._over.set()
        self._news.set()

    def _cancel(self, times: int) -> None:
        while self._cancels < times:
            self._cancels += 1
            self._cancel_container()


def stream_of(admission: Admission, *, lossless: bool = False) -> RunStream:
    """The run that was admitted, for `driven` or `RunStream.drive` to begin."""
    run_id = admission.spec.labels[LABEL_RUN]
    return RunStream(run_id, _collector(run_id, admission.job), lossless=lossless)


@asynccontextmanager
async def driven(run: RunStream, container: Container, admission: Admission) -> AsyncIterator[RunStream]:
    """``run`` as it runs in ``container``; where the context ends first, nothing waits for its end."""
    with _plain_errors():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run.drive, container, admission)
            try:
                yield run
            finally:
                tasks.cancel_scope.cancel()


@asynccontextmanager
async def driven_to_its_end(
    container: Container, admission: Admission, *, lossless: bool
) -> AsyncIterator[RunStream]:
    """The same in a container that goes on: where the context ends before the run, that is cancelled first.

    Nothing leaves this context before the run is over.
    """
    run_id = secrets.token_hex(8)
    run = RunStream(run_id, _collector(run_id, admission.job), lossless=lossless)

    async def drive() -> None:
        with anyio.CancelScope(shield=True):
            await run.drive(container, admission)

    with _plain_errors():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(drive)
            try:
                yield run
            finally:
                run.cancel()
                run.let_go()
                with anyio.CancelScope(shield=True):
                    await run.over()


def _nothing() -> None:
    """Nothing runs in the container."""


def _collector(run_id: str, job: Job) -> Collector:
    return Collector(run_id, capture=job.limits.capture, displays=job.displays)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """What is raised inside a task group, as it was raised."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
