"""The one way through: a request is admitted, run in its own container, and becomes a result.

request → check → place → image → admit → engine.create → execute → events → result
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from sandbox_runner.capacity import Capacity, Room, room
from sandbox_runner.engines import Container, Engine
from sandbox_runner.errors import SandboxError
from sandbox_runner.events import Event, Exited, Output, Started
from sandbox_runner.languages import Language, find_language
from sandbox_runner.output import Pending
from sandbox_runner.owner import current_owner
from sandbox_runner.policy import Policy, admit, check, image_name
from sandbox_runner.request import LOCAL_USER, Limits, Principal, RunRequest
from sandbox_runner.result import Collector, RunResult
from sandbox_runner.spec import Admission, Job, Placement
from sandbox_runner.user_ids import leased_user_id
from sandbox_runner.watchdog import Watchdog, guarded

if TYPE_CHECKING:
    from sandbox_runner.config import Config

T = TypeVar("T")

_PENDING = 1 << 20  # bytes of output that wait for a slow consumer of `stream`
_HOLD_GRACE = 10  # seconds after which the watchdog ends an agentless container that the owner should have


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
        self._exited: Exited | None = None
        self._failure: SandboxError | None = None
        self._cancelling = anyio.Event()

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
        if self._exited is not None:
            yield self._exited

    async def result(self) -> RunResult:
        """The result, once the program is over. Raises what the run raised."""
        await self._over.wait()
        self._raise_failure()
        assert self._exited is not None
        return self._collector.result(self._exited)

    def cancel(self) -> None:
        """Ends the program; the result's status is ``cancelled``. Harmless when it is over."""
        self._cancelling.set()

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
            self._waiting.append(event)
        self._news.set()

    async def _drive(self, container: Container, job: Job) -> None:
        """Runs the job to its end; what it raises is kept for whoever asks for the result."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._cancel_when_asked, container)
                self._exited = await container.execute(job, self._emit)
                tasks.cancel_scope.cancel()
        except* SandboxError as errors:
            self._failure = _first(errors)
        self._over.set()
        self._news.set()

    async def _cancel_when_asked(self, container: Container) -> None:
        await self._cancelling.wait()
        await container.cancel()


class Runner:
    """Runs programs on one engine. Made by `Runner.open`. Its containers are labelled with ``instance``."""

    def __init__(
        self, engine: Engine, policy: Policy, capacity: Capacity, watchdog: Watchdog, instance: str
    ) -> None:
        self._engine = engine
        self._policy = policy
        self._capacity = capacity
        self._watchdog = watchdog
        self.instance = instance
        self._owner = current_owner()

    @classmethod
    @asynccontextmanager
    async def open(cls, config: "Config | None" = None) -> AsyncIterator["Runner"]:
        """A runner on the engine that ``config`` names, with its policy; None reads the configuration.

        When the context ends every container of it is gone.
        Raises EngineUnavailable, or ConfigError.
        """
        from sandbox_runner.config import load_config  # noqa: PLC0415 - a given config needs no loading
        from sandbox_runner.engines.docker.engine import open_docker_engine  # noqa: PLC0415 - and the SDK

        config = config or load_config().config
        instance = secrets.token_hex(8)
        async with AsyncExitStack() as stack:
            watchdog = stack.enter_context(guarded(instance, docker_host=config.docker_host))
            engine = await stack.enter_async_context(open_docker_engine(config.docker_host))

            async def measure() -> Room:
                return room(await engine.facts(), max_concurrent=config.max_concurrent)

            capacity = Capacity(measure, queue_size=config.queue_size)
            yield cls(engine, config.policy(), capacity, watchdog, instance)

    async def run(self, request: RunRequest, principal: Principal = LOCAL_USER) -> RunResult:
        """Runs ``request`` to its end. Cancelling the call removes the container.

        Raises RequestRejected, Busy or EngineError; a program that fails is a result.
        """
        async with self.stream(request, principal) as stream:
            return await stream.result()

    @asynccontextmanager
    async def stream(
        self, request: RunRequest, principal: Principal = LOCAL_USER, *, lossless: bool = False
    ) -> AsyncIterator[RunStream]:
        """Runs ``request``, its events readable as they happen. Leaving the context removes the container.

        With ``lossless`` the program waits for a consumer that is slower than it; its wall time goes on.
        Without, events that were not read in time are dropped and counted. Raises what `run` raises.
        """
        language = find_language(request.language) if request.language else None
        limits = check(self._policy, request, language=language)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._capacity.place(principal.id, memory=limits.memory))
            admission = await self._admit(stack, request, principal, language)
            self._hold_deadline(stack, admission)
            container = await stack.enter_async_context(self._engine.create(admission.spec))
            run_id = admission.spec.name.rpartition("-")[2]
            run = RunStream(run_id, Collector(run_id, capture=limits.capture), lossless=lossless)
            with _plain_errors():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(run._drive, container, admission.job)
                    try:
                        yield run
                    finally:
                        tasks.cancel_scope.cancel()

    async def _admit(
        self, stack: AsyncExitStack, request: RunRequest, principal: Principal, language: Language | None
    ) -> Admission:
        image = await self._engine.image(image_name(request, language))
        placement = Placement(
            run_id=secrets.token_hex(8),
            instance=self.instance,
            owner=self._owner,
            uid=stack.enter_context(leased_user_id()),
            created=int(time.time()),
        )
        return admit(self._policy, request, principal, language=language, image=image, placement=placement)

    def _hold_deadline(self, stack: AsyncExitStack, admission: Admission) -> None:
        spec = admission.spec
        if not spec.image.agent:
            self._watchdog.hold_deadline(spec.name, spec.limits.wall_time + _HOLD_GRACE)
            stack.callback(self._watchdog.release, spec.name)


def run(
    code: str | None = None,
    *,
    language: str = "python",
    command: Sequence[str] | None = None,
    stdin: bytes | str = b"",
    limits: Limits | None = None,
    **request: Any,  # noqa: ANN401 - the fields of RunRequest, which checks them
) -> RunResult:
    """Runs one program and returns its result; works inside a running event loop too.

    ``request`` takes the other fields of RunRequest. Raises RequestRejected, Busy or EngineError.

    >>> run("print(2**100)").stdout
    '1267650600228229401496703205376\\n'
    """
    asked = RunRequest(
        language=None if command else language,
        code=code,
        command=command,
        stdin=stdin,
        limits=limits or Limits(),
        **request,
    )

    async def once() -> RunResult:
        async with Runner.open() as runner:
            return await runner.run(asked)

    return _outside_any_loop(once)


def _outside_any_loop(main: Callable[[], Awaitable[T]]) -> T:
    """``main()`` in an event loop here, or in a thread's where this thread already runs one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return anyio.run(main)
    from anyio.from_thread import start_blocking_portal  # noqa: PLC0415 - few need it

    with start_blocking_portal() as portal:
        future = portal.start_task_soon(main)
        try:
            return future.result()
        finally:
            future.cancel()  # nothing when it is done; on Ctrl-C it removes the container


@contextmanager
def _plain_errors() -> Iterator[None]:
    """What is raised inside a task group, as it was raised."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


def _first(group: BaseExceptionGroup[SandboxError]) -> SandboxError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, SandboxError)
    return error
