"""The one way through: a request is admitted, run in its own container, and becomes a result.

request → check → place → image → admit → engine.create → execute → events → result
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from sandbox_runner.capacity import Capacity, Place, Room, room
from sandbox_runner.engines import Container, Engine
from sandbox_runner.engines.choice import DOCKER, open_engine
from sandbox_runner.errors import ImageNotFound, SandboxError
from sandbox_runner.events import Artifact, Event, Exited, Output, Started
from sandbox_runner.hardening import COMMAND_IMAGE, LABEL_RUN
from sandbox_runner.head_start import HeadStart, admitted
from sandbox_runner.keeping import Keeper, open_keeper
from sandbox_runner.languages import Language, find_language, images_of
from sandbox_runner.output import Pending
from sandbox_runner.placement import Placements
from sandbox_runner.policy import Policy, check, container_limits
from sandbox_runner.request import LOCAL_USER, Limits, Principal, RunRequest
from sandbox_runner.result import Collector, RunResult
from sandbox_runner.spec import Admission
from sandbox_runner.stages import executed
from sandbox_runner.watchdog import Watchdog, guarded

if TYPE_CHECKING:
    from sandbox_runner.config import Config
    from sandbox_runner.packages import PackageImages

T = TypeVar("T")

_PENDING = 1 << 20  # bytes of output that wait for a slow consumer of `stream`
_ANSWERING = 0.02  # seconds before a container's removal competes with the caller, who has the result


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
            self._waiting.append(Started(self.run_id))  # a container that waited has another id of its own
        elif isinstance(event, Artifact):
            self._collector.artifacts.append(event)
        self._news.set()

    async def _drive(self, container: Container, admission: Admission) -> None:
        """Runs what was admitted to its end; what it raises is kept for whoever asks for the result."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._cancel_when_asked, container)
                self.exited = await executed(container, admission, self._emit)
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            error = _first(group)
            if not isinstance(error, SandboxError):
                raise error from None
            self._failure = error
        self._over.set()
        self._news.set()

    async def _cancel_when_asked(self, container: Container) -> None:
        await self._cancelling.wait()
        await container.cancel()


class Runner:
    """Runs programs on one engine. Made by `Runner.open`. Its containers are labelled with ``instance``.

    ``engine_name`` is ``docker`` or ``oci``.
    """

    def __init__(
        self,
        engine: Engine,
        policy: Policy,
        capacity: Capacity,
        watchdog: Watchdog,
        keeper: Keeper,
        placements: Placements,
        *,
        packages: "PackageImages",
        needed: Collection[str] = (),
        engine_name: str = DOCKER,
    ) -> None:
        self._engine = engine
        self._needed = needed
        self._packages = packages
        self._policy = policy
        self._capacity = capacity
        self._watchdog = watchdog
        self._keeper = keeper
        self._placements = placements
        self.instance = placements.instance
        self.engine_name = engine_name

    @staticmethod
    @asynccontextmanager
    async def open(config: "Config | None" = None, *, pool: bool = False) -> AsyncIterator["Runner"]:
        """A runner on the engine that ``config`` names, with its policy; None reads the configuration.

        With ``pool`` containers wait for the runs to come, within the bounds of ``config``: worth it for
        more than one run. When the context ends every container of it is gone.
        Raises EngineUnavailable, or ConfigError.
        """
        from sandbox_runner.config import load_config  # noqa: PLC0415 - a given config needs no loading

        config = config or load_config().config
        instance = secrets.token_hex(8)
        opening = open_engine(config.engine, docker_host=config.docker_host, oci_runtime=config.oci_runtime)
        async with opening as (kind, engine):
            with guarded(instance, engine=kind, docker_host=config.docker_host) as watchdog:
                async with runner_on(
                    engine, config, watchdog, instance=instance, pool=pool, engine_name=kind
                ) as runner:
                    yield runner

    async def check_ready(self) -> None:
        """Returns where programs of every configured language, and commands, can be run.

        Raises EngineUnavailable where the engine does not answer, ImageNotFound where an image is missing.
        """
        for name in sorted(self._needed):
            await self._engine.image(name)

    async def has(self, language: Language) -> bool:
        """Whether the image of ``language`` is there. Raises EngineUnavailable."""
        try:
            await self._engine.image(language.image)
        except ImageNotFound:
            return False
        return True

    async def run(self, request: RunRequest, principal: Principal = LOCAL_USER) -> RunResult:
        """Runs ``request`` to its end. Cancelling the call removes the container.

        Raises RequestRejected, Busy or EngineError; a program that fails is a result.
        """
        async with self.stream(request, principal) as stream:
            return await stream.result()

    @asynccontextmanager
    async def stream(
        self,
        request: RunRequest,
        principal: Principal = LOCAL_USER,
        *,
        run_id: str | None = None,
        lossless: bool = False,
    ) -> AsyncIterator[RunStream]:
        """Runs ``request``, its events readable as they happen.

        When the context ends the container is gone, except where the program ended before: then it is
        removed in the background, and the runner's own end waits for it.

        ``run_id``, hexadecimal digits, is the run's name where the caller has told it to others already.

        With ``lossless`` the program waits for a consumer that is slower than it; its wall time goes on.
        Without, events that were not read in time are dropped and counted. Raises what `run` raises.
        """
        language = find_language(request.language) if request.language else None
        kept = await self._keeper.keep(self._sandbox(request, principal, language, run_id))
        container, admission, place = kept.value
        left_nothing = False
        try:
            async with _driven(container, admission, lossless=lossless) as run:
                try:
                    yield run
                finally:
                    left_nothing = run.left_nothing
        finally:
            if left_nothing:
                kept.release(pause=_ANSWERING, hurry=self._capacity.leave(place))
            else:
                kept.release()
                with anyio.CancelScope(shield=True):
                    await kept.gone()

    @asynccontextmanager
    async def _sandbox(
        self, request: RunRequest, principal: Principal, language: Language | None, run_id: str | None
    ) -> AsyncIterator[tuple[Container, Admission, Place]]:
        """The container for ``request``, in its place among those that run until it is gone."""
        limits = check(self._policy, request, language=language)
        name = await self._packages.image(request, language, principal)
        async with AsyncExitStack() as stack:
            memory = container_limits(limits, language).memory
            place = await stack.enter_async_context(self._capacity.place(principal.id, memory=memory))
            image = await self._engine.image(name)
            admission = stack.enter_context(admitted(
                self._policy, request, principal,
                language=language, image=image, run_id=run_id,
                placements=self._placements, watchdog=self._watchdog,
            ))  # fmt: skip
            yield await stack.enter_async_context(self._engine.create(admission.spec)), admission, place


@asynccontextmanager
async def runner_on(
    engine: Engine,
    config: "Config",
    watchdog: Watchdog,
    *,
    instance: str,
    pool: bool,
    engine_name: str = DOCKER,
) -> AsyncIterator[Runner]:
    """As `Runner.open`, on an engine that is open; ``instance`` labels its containers."""

    async def measure() -> Room:
        return room(await engine.facts(), max_concurrent=config.max_concurrent)

    from sandbox_runner.packages import PackageImages  # noqa: PLC0415 - the run of a `take_over` has it not

    placements = Placements(instance)
    capacity = Capacity(measure, queue_size=config.queue_size)
    async with AsyncExitStack() as stack:
        source = engine
        if pool and config.pool_max:
            source = await stack.enter_async_context(_pooled(engine, capacity, placements, config))
        keeper = await stack.enter_async_context(open_keeper())
        yield Runner(
            source, config.policy(), capacity, watchdog, keeper, placements,
            packages=PackageImages(engine, config, capacity, placements, engine_name=engine_name),
            needed={COMMAND_IMAGE, *images_of(config.languages)}, engine_name=engine_name,
        )  # fmt: skip


def _pooled(
    engine: Engine, capacity: Capacity, placements: Placements, config: "Config"
) -> AbstractAsyncContextManager[Engine]:
    from sandbox_runner.pool import Bounds, open_pool  # noqa: PLC0415 - a single run has none

    bounds = Bounds(least=config.pool_min, most=config.pool_max, idle=config.pool_idle)
    return open_pool(engine, capacity, placements.lease, bounds, longest_run=config.max_wall_time)


@asynccontextmanager
async def take_over(head_start: HeadStart, *, lossless: bool = False) -> AsyncIterator[RunStream]:
    """The rest of a run that has a head start: as `Runner.stream`, of a process that has no other run.

    Raises what `Runner.stream` raises.
    """
    from sandbox_runner.engines.docker.engine import DockerEngine  # noqa: PLC0415 - the SDK loads with it

    engine = DockerEngine(head_start.client, head_start.address)
    async with (
        engine.take_over(head_start.beginning) as container,
        _driven(container, head_start.admission, lossless=lossless) as run,
    ):
        yield run


@asynccontextmanager
async def _driven(container: Container, admission: Admission, *, lossless: bool) -> AsyncIterator[RunStream]:
    run_id = admission.spec.labels[LABEL_RUN]
    job = admission.job
    collector = Collector(run_id, capture=job.limits.capture, displays=job.displays)
    run = RunStream(run_id, collector, lossless=lossless)
    with _plain_errors():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run._drive, container, admission)
            try:
                yield run
            finally:
                tasks.cancel_scope.cancel()


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


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
