"""The one way through: a request is admitted, run in its own container, and becomes a result.

request → check → place → image → admit → engine.create → execute → events → result
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from sandbox_runner.capacity import Capacity, Place, Room, room
from sandbox_runner.engines import Container, Engine
from sandbox_runner.engines.choice import DOCKER, open_engine
from sandbox_runner.errors import ImageNotFound
from sandbox_runner.hardening import COMMAND_IMAGE
from sandbox_runner.head_start import HeadStart, admitted
from sandbox_runner.keeping import Keeper, Kept, cancelled_group, open_keeper
from sandbox_runner.languages import Language, find_language, images_of
from sandbox_runner.placement import Placements
from sandbox_runner.policy import (
    Policy,
    Terms,
    admit_session,
    check,
    check_terms,
    container_limits,
)
from sandbox_runner.request import LOCAL_USER, Limits, Principal, RunRequest
from sandbox_runner.result import RunResult
from sandbox_runner.running import RunStream, driven, stream_of
from sandbox_runner.sessions import Session
from sandbox_runner.sessions.snapshots import Snapshots, open_snapshots
from sandbox_runner.sessions.term import Term
from sandbox_runner.sessions.watch import Watch
from sandbox_runner.spec import Admission, ContainerSpec
from sandbox_runner.watchdog import Watchdog, guarded

if TYPE_CHECKING:
    from sandbox_runner.config import Config
    from sandbox_runner.packages.source import PackageSource, Tell

T = TypeVar("T")

_ANY = "any"  # code of a session that is to come
_ANSWERING = 0.02  # seconds before a container's removal competes with the caller, who has the result


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
        snapshots: Snapshots,
        *,
        packages: "PackageSource",
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
        self._snapshots = snapshots
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

    async def places(self) -> int:
        """How many containers may be there at one time. Raises EngineUnavailable."""
        return await self._capacity.most()

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
        async with self._prepared(request, principal) as (run, container, admission):
            await run.drive(container, admission)  # nobody follows it: no task of its own
            return await run.result()

    @asynccontextmanager
    async def stream(
        self,
        request: RunRequest,
        principal: Principal = LOCAL_USER,
        *,
        run_id: str | None = None,
        lossless: bool = False,
        tell: "Tell | None" = None,
    ) -> AsyncIterator[RunStream]:
        """Runs ``request``, its events readable as they happen.

        When the context ends the container is gone, except where the program ended before: then it is
        removed in the background, and the runner's own end waits for it.

        ``tell`` is called in the event loop with each line about packages that are installed first.
        ``run_id``, hexadecimal digits, is the run's name where the caller has told it to others already.

        With ``lossless`` the program waits for a consumer that is slower than it; its wall time goes on.
        Without, events that were not read in time are dropped and counted. Raises what `run` raises.
        """
        prepared = self._prepared(request, principal, run_id=run_id, lossless=lossless, tell=tell)
        async with prepared as (run, container, admission), driven(run, container, admission):
            yield run

    @asynccontextmanager
    async def _prepared(
        self,
        request: RunRequest,
        principal: Principal,
        *,
        run_id: str | None = None,
        lossless: bool = False,
        tell: "Tell | None" = None,
    ) -> AsyncIterator[tuple[RunStream, Container, Admission]]:
        """A run that is still to be driven, with its container, which is removed as `stream` tells."""
        language = find_language(request.language) if request.language else None
        kept = await self._keeper.keep(self._sandbox(request, principal, language, run_id, tell))
        container, admission, place = kept.value
        run = stream_of(admission, lossless=lossless)
        try:
            yield run, container, admission
        finally:
            if run.left_nothing:
                kept.release(pause=_ANSWERING, hurry=self._capacity.leave(place))
            else:
                kept.release()
                with anyio.CancelScope(shield=True):
                    await kept.gone()

    @asynccontextmanager
    async def session(
        self,
        language: str = "python",
        *,
        limits: Limits | None = None,
        ttl: float | None = None,
        idle: float | None = None,
        cpu_time: float | None = None,
        image: str | None = None,
        profile: str | None = None,
        packages: Sequence[str] = (),
        snapshot: str | None = None,
        principal: Principal = LOCAL_USER,
        tell: "Tell | None" = None,
    ) -> AsyncIterator[Session]:
        """A session: one container for code that finds what earlier code left behind.

        ``limits`` are those of its container, and the default of what runs in it. It lasts ``ttl`` seconds,
        ``idle`` seconds without use, or until all that runs in it took ``cpu_time`` seconds of the CPUs; None
        means what is configured. With a ``snapshot`` its workspace begins as that one; ``packages`` are
        installed before it opens, as those of a run are, and ``tell`` hears of it.
        When the context ends the container is gone, whatever runs. Raises what `run` raises.
        """
        terms = check_terms(self._policy, ttl=ttl, idle=idle, cpu_time=cpu_time)
        spoken = find_language(language)
        asked = RunRequest(
            language=language, code=_ANY, limits=limits or Limits(), image=image, profile=profile,
            packages=packages,
        )  # fmt: skip
        kept = await self._keeper.keep(self._session_sandbox(asked, principal, spoken, terms, tell))
        container, spec = kept.value
        term = Term(ttl=terms.ttl, idle=terms.idle, cpu_time=terms.cpu_time)
        watch = Watch(container, term, cpus=spec.limits.cpus)
        session = Session(
            container, spec, self._policy, term, watch=watch,
            snapshots=self._snapshots, language=spoken, principal=principal, limits=asked.limits,
        )  # fmt: skip
        try:
            async with cancelled_group() as tasks:
                tasks.start_soon(_expire, session, watch, kept)
                tasks.start_soon(watch.keep)
                if snapshot is not None:
                    await session.restore(snapshot)
                yield session
        finally:
            session.end("The session was closed; open another one.")
            kept.release()
            with anyio.CancelScope(shield=True):
                await kept.gone()

    @asynccontextmanager
    async def _session_sandbox(
        self,
        request: RunRequest,
        principal: Principal,
        language: Language,
        terms: Terms,
        tell: "Tell | None",
    ) -> AsyncIterator[tuple[Container, ContainerSpec]]:
        limits = check(self._policy, request, language=language)
        name = await self._packages.image(request, language, principal, tell)
        memory = container_limits(limits, language).memory
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._capacity.place(principal.id, memory=memory))
            image = await self._engine.image(name)
            spec = admit_session(
                self._policy, request, principal, language=language, image=image,
                placement=stack.enter_context(self._placements.lease()),
                ttl=terms.ttl, cpu_time=terms.cpu_time,
            )  # fmt: skip
            yield await stack.enter_async_context(self._engine.create(spec)), spec

    @asynccontextmanager
    async def _sandbox(
        self,
        request: RunRequest,
        principal: Principal,
        language: Language | None,
        run_id: str | None,
        tell: "Tell | None",
    ) -> AsyncIterator[tuple[Container, Admission, Place]]:
        """The container for ``request``, in its place among those that run until it is gone."""
        limits = check(self._policy, request, language=language)
        name = await self._packages.image(request, language, principal, tell)
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
    packages: "PackageSource | None" = None,
) -> AsyncIterator[Runner]:
    """As `Runner.open`, on an engine that is open; ``instance`` labels its containers.

    None for ``packages`` means that they are installed on that engine.
    """

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
        packages = packages or PackageImages(engine, config, capacity, placements, engine_name=engine_name)
        yield Runner(
            source, config.policy(), capacity, watchdog, keeper, placements, open_snapshots(config),
            packages=packages,
            needed={COMMAND_IMAGE, *images_of(config.languages)}, engine_name=engine_name,
        )  # fmt: skip


def _pooled(
    engine: Engine, capacity: Capacity, placements: Placements, config: "Config"
) -> AbstractAsyncContextManager[Engine]:
    from sandbox_runner.pool import Bounds, open_pool  # noqa: PLC0415 - a single run has none

    bounds = Bounds(least=config.pool_min, most=config.pool_max, idle=config.pool_idle)
    return open_pool(engine, capacity, placements.lease, bounds, longest_run=config.max_wall_time)


async def _expire(session: Session, watch: Watch, kept: Kept[Any]) -> None:
    """Removes the container of a session that is over, whoever still holds it."""
    session.end(await session.over())
    await watch.stop()
    kept.release()


@asynccontextmanager
async def take_over(head_start: HeadStart, *, lossless: bool = False) -> AsyncIterator[RunStream]:
    """The rest of a run that has a head start: as `Runner.stream`, of a process that has no other run.

    Raises what `Runner.stream` raises.
    """
    from sandbox_runner.engines.docker.engine import DockerEngine  # noqa: PLC0415 - the SDK loads with it

    engine = DockerEngine(head_start.client, head_start.address)
    admission = head_start.admission
    async with (
        engine.take_over(head_start.beginning) as container,
        driven(stream_of(admission, lossless=lossless), container, admission) as run,
    ):
        yield run


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
