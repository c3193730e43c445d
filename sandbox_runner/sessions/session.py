"""A session: code, shell lines and commands that run in one container, one after another."""

import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import anyio

from sandbox_runner.engines import Container
from sandbox_runner.errors import InvalidRequest
from sandbox_runner.events import Exited
from sandbox_runner.languages import Language, find_language
from sandbox_runner.policy import Policy, admit_step
from sandbox_runner.request import InputFile, Limits, Principal, RunRequest, Stdin
from sandbox_runner.result import RunResult
from sandbox_runner.running import RunStream, driven_to_its_end
from sandbox_runner.sessions import workspace
from sandbox_runner.sessions.snapshots import Snapshots
from sandbox_runner.sessions.term import Term
from sandbox_runner.sessions.watch import Watch, container_lost
from sandbox_runner.spec import Admission, ContainerSpec

SHELL = "bash"  # the language of `Session.shell`
_LEAST_CPU = 0.001  # seconds
_CONTEXT = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Session:
    """A session that is open. Made by `Runner.session`.

    What runs in it runs one after another: who comes while something runs waits. ``id`` is unguessable.
    """

    def __init__(
        self,
        container: Container,
        spec: ContainerSpec,
        policy: Policy,
        term: Term,
        *,
        watch: Watch,
        snapshots: Snapshots,
        language: Language,
        principal: Principal,
        limits: Limits,
    ) -> None:
        self.id = secrets.token_urlsafe(24)
        self.language = language
        self.principal = principal
        self._container = container
        self._spec = spec
        self._policy = policy
        self._limits = limits
        self._term = term
        self._snapshots = snapshots
        self._watch = watch
        self._turn = anyio.Lock()
        self._running: RunStream | None = None

    @property
    def ended(self) -> str:
        """Why the session is over, in a sentence; empty while it is open."""
        return self._term.reason

    @property
    def left(self) -> float:
        """Seconds until it is over if nobody uses it."""
        return self._term.left

    async def over(self) -> str:
        """Waits until it is over; returns why, in a sentence."""
        return await self._term.ended()

    async def run(
        self,
        code: str,
        *,
        context: str = "main",
        stdin: Stdin = b"",
        files: Sequence[InputFile] = (),
        limits: Limits | None = None,
        artifacts: Sequence[str] = (),
    ) -> RunResult:
        """Runs ``code`` in the session's language, and returns its result.

        Each ``context`` has variables of its own, which its next code finds; in a language without a kernel
        each code is a program of its own. Cancelling the call interrupts the code.
        Raises RequestRejected or EngineError; SessionEnded where the session is over.
        """
        streaming = self.stream(
            code, context=context, stdin=stdin, files=files, limits=limits, artifacts=artifacts
        )
        async with streaming as run:
            return await run.result()

    async def shell(
        self, code: str, *, context: str = "main", stdin: Stdin = b"", limits: Limits | None = None
    ) -> RunResult:
        """Runs ``code`` in a shell that keeps its folder, variables and functions. Raises as `run`."""
        async with self.stream(code, language=SHELL, context=context, stdin=stdin, limits=limits) as run:
            return await run.result()

    async def command(
        self,
        argv: Sequence[str],
        *,
        stdin: Stdin = b"",
        env: Mapping[str, str] | None = None,
        files: Sequence[InputFile] = (),
        limits: Limits | None = None,
        artifacts: Sequence[str] = (),
    ) -> RunResult:
        """Runs a program beside the kernels; its process group ends with it. Raises as `run`."""
        request = RunRequest(
            command=argv,
            stdin=stdin,
            env=env or {},
            files=files,
            limits=limits or self._limits,
            artifacts=artifacts,
        )
        async with self._step(request, None, "", lossless=False) as run:
            return await run.result()

    @asynccontextmanager
    async def stream(
        self,
        code: str,
        *,
        language: str | None = None,
        context: str = "main",
        stdin: Stdin = b"",
        files: Sequence[InputFile] = (),
        limits: Limits | None = None,
        artifacts: Sequence[str] = (),
        lossless: bool = False,
    ) -> AsyncIterator[RunStream]:
        """As `run`, its events readable as they happen; where the context ends first the code is interrupted.

        ``language`` is the session's own unless it is given: another needs an image that has it.
        `RunStream.cancel` interrupts the code. Raises as `run`.
        """
        spoken = self.language if language is None else find_language(language)
        request = RunRequest(
            language=spoken.name,
            code=code,
            stdin=stdin,
            files=files,
            limits=limits or self._limits,
            artifacts=artifacts,
        )
        async with self._step(request, spoken, context, lossless=lossless) as run:
            yield run

    def interrupt(self, *, at_once: bool = False) -> None:
        """Interrupts what runs, if anything, as Ctrl-C does; its kernel's state is kept if it heeds that.

        With ``at_once`` it is given no time for that: its kernel is ended.
        """
        if self._running is not None:
            if at_once:
                self._running.cancel_at_once()
            self._running.cancel()

    def end(self, why: str) -> None:
        """From here on nothing is run: who tries is told ``why``, a sentence. What runs is interrupted."""
        self._term.finish(why)
        if self._running is not None:
            self._running.cancel()

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Writes a file of the workspace in place of what is there; folders are made. Raises as `run`."""
        most = self._policy.ceilings.file_bytes
        await workspace.write_file(self._commanded, path, data, mode=mode, most=most)

    async def read_file(self, path: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """The bytes of a file of the workspace; None for ``size`` means to its end. Raises as `run`."""
        return (await self.read_part(path, offset=offset, size=size)).data

    async def read_part(self, path: str, *, offset: int = 0, size: int | None = None) -> workspace.FilePart:
        """As `read_file`, with the size of the whole file."""
        most = self._policy.ceilings.file_bytes
        return await workspace.read_file(self._commanded, path, offset=offset, size=size, most=most)

    async def list_files(
        self, path: str = ".", *, offset: int = 0, count: int = workspace.MAX_LISTED
    ) -> workspace.Listing:
        """``count`` of the entries of a folder of the workspace, by name. Raises as `run`."""
        return await workspace.list_files(self._commanded, path, offset=offset, count=count)

    async def delete_file(self, path: str) -> None:
        """Deletes a file of the workspace, a link, or a folder with all in it. Raises as `run`."""
        await workspace.delete_file(self._commanded, path)

    async def snapshot(self) -> str:
        """Stores the workspace as it is now; returns an id for `Runner.session`, for this principal alone.

        Raises as `run`, and QuotaExceeded where there is no room for it.
        """
        packed = workspace.pack(self._commanded, most=self._snapshots.most)
        return await self._snapshots.keep(self.principal, packed)

    async def restore(self, snapshot: str) -> None:
        """Puts the files of a snapshot into the workspace. Raises as `run`."""
        async with aclosing(self._snapshots.read(snapshot, self.principal)) as packed:
            first = await anext(packed, b"")  # what is wrong with it is raised here, and not in the middle
            await workspace.unpack(self._commanded, _joined(first, packed))

    @asynccontextmanager
    async def _commanded(
        self, argv: Sequence[str], *, stdin: Stdin, limits: Limits
    ) -> AsyncIterator[RunStream]:
        request = RunRequest(command=argv, stdin=stdin, limits=limits)
        async with self._step(request, None, "", lossless=True) as run:
            yield run

    @asynccontextmanager
    async def _step(
        self, request: RunRequest, language: Language | None, context: str, *, lossless: bool
    ) -> AsyncIterator[RunStream]:
        admission = self._admitted(request, language, context)
        async with self._turn, self._watch.suspended():
            with self._term.used():
                async with driven_to_its_end(self._container, admission, lossless=lossless) as run:
                    self._running = run
                    try:
                        yield run
                    finally:
                        self._running = None
                self._note(run.exited)

    def _admitted(self, request: RunRequest, language: Language | None, context: str) -> Admission:
        self._term.check()
        kernel = None
        if language is not None and language.kernel is not None:
            if not _CONTEXT.fullmatch(context):
                raise InvalidRequest(
                    f"{context[:100]!r} is not a context's name; use up to 64 letters, digits, - and _."
                )
            kernel = f"{language.name}/{context}"
        admission = admit_step(self._policy, request, language=language, spec=self._spec, kernel=kernel)
        return _within(admission, self._term.cpu_left)

    def _note(self, exited: Exited | None) -> None:
        if exited is None:
            self._term.finish(container_lost(None))
            return
        self._term.spend(exited.usage.cpu_time or 0.0)
        if exited.reason == "sandbox_broken":
            self._term.finish(container_lost(exited.status))


def _within(admission: Admission, cpu_left: float) -> Admission:
    """``admission`` with no more CPU time than is left to its session."""
    limits = admission.job.limits
    if limits.cpu_time <= cpu_left:
        return admission
    limits = replace(limits, cpu_time=max(cpu_left, _LEAST_CPU))
    return replace(admission, job=replace(admission.job, limits=limits))


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
