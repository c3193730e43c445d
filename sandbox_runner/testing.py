"""For tests of programs that use sandbox_runner: an engine in memory, and a runner on it.

Nothing is run and nothing is isolated: a function of the test tells what each program does.

    async with fake_runner(lambda job: Reply(stdout=b"42\\n")) as runner:
        assert (await runner.run(RunRequest(language="python", code="print(42)"))).stdout == "42\\n"

What is asked for is checked as on a real engine, limits included, and so are the outcomes: a program
that prints too much, takes too long or needs too much memory ends as it would. The function may be
``async``: until it returns the program runs, and can be cancelled.

Code of a session comes as the ``value`` of a job whose ``kernel`` tells the language and the context; what
the code before it left behind is for the function to remember.

Packages are installed at once and from nowhere, where the settings allow them.
"""

import hashlib
import os
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

import anyio
import anyio.lowlevel

from sandbox_runner.agent.patterns import fits
from sandbox_runner.definitions import PACKAGES, image_names
from sandbox_runner.engines import Emit, EngineFacts
from sandbox_runner.errors import ImageNotFound, InstallFailed, SandboxError
from sandbox_runner.events import Artifact, Exited, Output, Started, Status, Stream, Usage
from sandbox_runner.hardening import LABEL_RUN
from sandbox_runner.languages import Language
from sandbox_runner.outbox import Outbox
from sandbox_runner.policy import image_name
from sandbox_runner.request import Principal, RunRequest
from sandbox_runner.requirements import parse_requirements
from sandbox_runner.runner import Runner, runner_on
from sandbox_runner.spec import ContainerSpec, Image, Job, ResolvedLimits
from sandbox_runner.watchdog import Watchdog

if TYPE_CHECKING:
    from sandbox_runner.config import Config
    from sandbox_runner.packages.source import Tell

_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a program does. Times are seconds and pass at once, sizes bytes.

    With a ``signal`` it was ended by that one, and has no exit code. In a session ``state_lost`` tells that
    its kernel ended with it.
    """

    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int = 0
    signal: int | None = None
    wall_time: float = 0.0
    cpu_time: float = 0.0
    peak_memory: int = 0
    artifacts: tuple[Artifact, ...] = ()
    value: bytes | None = None
    state_lost: bool = False


Answer = Callable[[Job], Reply | Awaitable[Reply]]


class FakeEngine:
    """An `Engine` in memory.

    ``images`` holds the ids of the images by name: ours, and what a test adds. ``made`` are the specs of all
    containers there were, ``live`` the ids of those there are. While ``refusal`` is set `create` raises it.
    ``installed`` are the requirements that were installed, by the name of the image that has them;
    ``uninstallable`` are names of packages that no index has.
    """

    resizes: Collection[str] = ("memory", "cpus", "pids")

    def __init__(self, answer: Answer) -> None:
        self.images = {name: f"fake:{name}" for name in image_names()}
        self.facts_told = EngineFacts(cpus=4, memory=64 << 30, local=True)
        self.made: list[ContainerSpec] = []
        self.refusal: SandboxError | None = None
        self.installed: dict[str, tuple[str, ...]] = {}
        self.uninstallable: set[str] = set()
        self._answer = answer
        self._live: dict[str, FakeContainer] = {}

    @property
    def live(self) -> frozenset[str]:
        """The ids of the containers that there are."""
        return frozenset(self._live)

    def kill(self, container: str) -> None:
        """The container dies, as where someone removes it behind our back."""
        self._live[container]._die()

    async def image(self, name: str) -> Image:
        """Raises ImageNotFound for a name that ``images`` has not."""
        await anyio.lowlevel.checkpoint()
        if name not in self.images:
            raise ImageNotFound(f"Image {name!r} is not on the engine; add it to FakeEngine.images.")
        return Image(id=self.images[name], name=name, agent=True)

    async def facts(self) -> EngineFacts:
        """What ``facts_told`` says."""
        await anyio.lowlevel.checkpoint()
        return self.facts_told

    async def derive(self, base: Image, name: str, layer: BinaryIO) -> None:
        """An image of its own; nothing is in it."""
        await anyio.lowlevel.checkpoint()
        self.images[name] = f"{base.id}+{name}"

    async def discard(self, name: str) -> None:
        """The image is gone."""
        await anyio.lowlevel.checkpoint()
        self.images.pop(name, None)
        self.installed.pop(name, None)

    @asynccontextmanager
    async def create(self, spec: ContainerSpec) -> AsyncIterator["FakeContainer"]:
        """A container that does what the test's function says. Raises ``refusal``."""
        await anyio.lowlevel.checkpoint()
        if self.refusal is not None:
            raise self.refusal
        container = FakeContainer(secrets.token_hex(32), spec, self._answer)
        self.made.append(spec)
        self._live[container.id] = container
        try:
            yield container
        finally:
            del self._live[container.id]


class FakeContainer:
    """A `Container` in memory."""

    def __init__(self, container_id: str, spec: ContainerSpec, answer: Answer) -> None:
        self.id = container_id
        self._run_id = spec.labels[LABEL_RUN]
        self._limits = spec.limits
        self._answer = answer
        self._running: anyio.CancelScope | None = None
        self._cancelled = False
        self._cpu_time = 0.0
        self._dead = anyio.Event()

    async def prepare(self) -> None:
        """Nothing waits in it, so nothing is loaded."""
        await anyio.lowlevel.checkpoint()

    async def lost(self) -> None:
        """Returns when it was killed."""
        await self._dead.wait()

    async def why_lost(self) -> Status:
        """It was killed."""
        await anyio.lowlevel.checkpoint()
        return "signaled"

    async def cpu_time(self) -> float | None:
        """What the replies so far told."""
        await anyio.lowlevel.checkpoint()
        return self._cpu_time

    async def resize(self, limits: ResolvedLimits) -> None:
        """From here on it has these limits."""
        await anyio.lowlevel.checkpoint()
        self._limits = limits

    async def cancel(self) -> None:
        """Ends the program that runs."""
        await anyio.lowlevel.checkpoint()
        if self._running is not None:
            self._cancelled = True
            self._running.cancel()

    async def execute(self, job: Job, emit: Emit) -> Exited:
        """Does what the test's function says, within the job's limits."""
        began = anyio.current_time()
        self._cancelled = False
        if not self._dead.is_set():
            await emit(Started(self._run_id))
        reply = None
        with anyio.move_on_after(job.limits.wall_time) as self._running:
            if not self._dead.is_set():
                reply = await _told(self._answer, job)
        self._running = None
        if reply is None:
            return self._ended_early(anyio.current_time() - began)
        self._cpu_time += reply.cpu_time
        return await _finish(reply, replace(job, limits=_together(job.limits, self._limits)), emit)

    def _ended_early(self, wall_time: float) -> Exited:
        usage = Usage(wall_time=wall_time)
        if self._dead.is_set():
            return Exited(status="signaled", signal=9, reason="sandbox_broken", usage=usage)
        if self._cancelled:
            return Exited(status="cancelled", usage=usage)
        return Exited(status="timed_out", usage=usage, limits_hit={"wall_time": 1})

    def _die(self) -> None:
        self._dead.set()
        if self._running is not None:
            self._running.cancel()


@dataclass(frozen=True, slots=True)
class _FakePackages:
    """Packages that are there as soon as they are asked for."""

    engine: FakeEngine

    async def image(
        self,
        request: RunRequest,
        language: Language | None,
        _principal: Principal,
        tell: "Tell | None" = None,
    ) -> str:
        """Raises InstallFailed for a package that cannot be installed."""
        if not request.packages:
            return image_name(request, language)
        assert language is not None
        assert language.installer is not None
        asked = parse_requirements(request.packages, installer=language.installer)
        words = tuple(map(str, asked))
        base = await self.engine.image(language.image)
        name = f"{PACKAGES}:{hashlib.sha256(repr((base.id, words)).encode()).hexdigest()}"
        if name in self.engine.images:
            return name
        if tell is not None:
            tell(f"installing {', '.join(words)}")
        for each in asked:
            if each.name in self.engine.uninstallable:
                raise InstallFailed(f"The packages could not be installed: there is no {each.name}.")
        await self.engine.derive(base, name, BytesIO())
        self.engine.installed[name] = words
        return name


@asynccontextmanager
async def fake_runner(
    answer: Answer, *, config: "Config | None" = None, pool: bool = False
) -> AsyncIterator[Runner]:
    """A runner on a `FakeEngine`. None for ``config`` means the defaults, whatever this machine's settings.

    Raises what ``answer`` raises, to the caller of the run.
    """
    async with fake_runner_on(FakeEngine(answer), config=config, pool=pool) as runner:
        yield runner


@asynccontextmanager
async def fake_runner_on(
    engine: FakeEngine, *, config: "Config | None" = None, pool: bool = False
) -> AsyncIterator[Runner]:
    """The same on an engine that the test has made, to look at it."""
    from sandbox_runner.config import Config  # noqa: PLC0415 - as in Runner.open

    nobody = os.open(os.devnull, os.O_WRONLY)
    try:
        async with runner_on(
            engine, config or Config(), Watchdog(nobody), instance=secrets.token_hex(8), pool=pool,
            packages=_FakePackages(engine),
        ) as runner:  # fmt: skip
            yield runner
    finally:
        os.close(nobody)


async def read_stdin(job: Job) -> bytes:
    """All of the job's standard input, whatever it was given as."""
    if isinstance(job.stdin, AsyncIterable):
        return b"".join([data async for data in job.stdin])
    return job.stdin.encode() if isinstance(job.stdin, str) else job.stdin


def _together(job: ResolvedLimits, container: ResolvedLimits) -> ResolvedLimits:
    """The limits that hold: those of the container, and those that come with the job."""
    return replace(job, memory=container.memory, cpus=container.cpus, pids=container.pids)


async def _told(answer: Answer, job: Job) -> Reply:
    await anyio.lowlevel.checkpoint()
    reply = answer(job)
    return reply if isinstance(reply, Reply) else await reply


async def _finish(reply: Reply, job: Job, emit: Emit) -> Exited:
    left = job.limits.output
    sizes: dict[Stream, int] = {"stdout": 0, "stderr": 0}
    for output in _outputs(reply):
        data = output.data[: max(0, left)]
        left -= len(output.data)
        if data:
            await emit(Output(output.stream, data, output.offset))
            sizes[output.stream] += len(data)
    status, limit = _outcome(reply, job, printed_too_much=left < 0)
    usage = Usage(
        wall_time=min(reply.wall_time, job.limits.wall_time),
        cpu_time=reply.cpu_time,
        peak_memory=min(reply.peak_memory, job.limits.memory),
        stdout_bytes=sizes["stdout"],
        stderr_bytes=sizes["stderr"],
    )
    hit = {limit: 1} if limit else {}
    if status != "exited" and status != "signaled":
        return Exited(status=status, usage=usage, limits_hit=hit)
    for artifact in _given_back(reply, job):
        await emit(artifact)
    return Exited(
        status=status,
        exit_code=reply.exit_code if reply.signal is None else None,
        signal=reply.signal,
        usage=usage,
        value=reply.value if job.value is not None else None,
        reason="kernel_restarted" if reply.state_lost else "",
        state_lost=reply.state_lost,
    )


def _given_back(reply: Reply, job: Job) -> Iterator[Artifact]:
    """The files that were asked for, in the job's folder where it names one."""
    asked = [a for a in reply.artifacts if any(fits(a.path, pattern) for pattern in job.artifacts)]
    if job.out is None:
        yield from asked
        return
    with closing(Outbox(job.out)) as outbox:
        for number, artifact in enumerate(asked):
            with open(outbox.begin(str(number), executable=artifact.executable), "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(artifact.data)
            yield replace(artifact, content=None, file=outbox.put(str(number), artifact.path))


def _outputs(reply: Reply) -> Iterator[Output]:
    pairs: tuple[tuple[Stream, bytes], ...] = (("stdout", reply.stdout), ("stderr", reply.stderr))
    for stream, data in pairs:
        for start in range(0, len(data), _PIECE):
            yield Output(stream, data[start : start + _PIECE], start)


def _outcome(reply: Reply, job: Job, *, printed_too_much: bool) -> tuple[Status, str]:
    """How it ends, and the limit that was met."""
    if printed_too_much:
        return "output_limit", "output"
    if reply.wall_time > job.limits.wall_time:
        return "timed_out", "wall_time"
    if reply.cpu_time > job.limits.cpu_time:
        return "cpu_limit", "cpu_time"
    if reply.peak_memory > job.limits.memory:
        return "out_of_memory", "memory"
    return ("exited" if reply.signal is None else "signaled"), ""
