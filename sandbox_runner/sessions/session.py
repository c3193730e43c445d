"""A session: code, shell lines and commands that run in one container, one after another."""

import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio

from sandbox_runner.engines import Container
from sandbox_runner.errors import InvalidRequest, SessionEnded
from sandbox_runner.events import Exited
from sandbox_runner.languages import Language, find_language
from sandbox_runner.policy import Policy, admit_step
from sandbox_runner.request import InputFile, Limits, Principal, RunRequest, Stdin
from sandbox_runner.result import RunResult
from sandbox_runner.running import RunStream, driven_to_its_end
from sandbox_runner.spec import Admission, ContainerSpec

SHELL = "bash"  # the language of `Session.shell`
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
        *,
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
        self._turn = anyio.Lock()
        self._running: RunStream | None = None
        self._ended = ""

    @property
    def ended(self) -> str:
        """Why the session is over, in a sentence; empty while it is open."""
        return self._ended

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

    def interrupt(self) -> None:
        """Interrupts what runs, if anything, as Ctrl-C does; its kernel's state is kept if it heeds that."""
        if self._running is not None:
            self._running.cancel()

    def end(self, why: str) -> None:
        """From here on nothing is run: who tries is told ``why``, a sentence. What runs is interrupted."""
        self._ended = self._ended or why
        self.interrupt()

    @asynccontextmanager
    async def _step(
        self, request: RunRequest, language: Language | None, context: str, *, lossless: bool
    ) -> AsyncIterator[RunStream]:
        admission = self._admitted(request, language, context)
        async with self._turn:
            self._require_open()
            async with driven_to_its_end(self._container, admission, lossless=lossless) as run:
                self._running = run
                try:
                    yield run
                finally:
                    self._running = None
            self._note(run.exited)

    def _admitted(self, request: RunRequest, language: Language | None, context: str) -> Admission:
        self._require_open()
        kernel = None
        if language is not None and language.kernel is not None:
            if not _CONTEXT.fullmatch(context):
                raise InvalidRequest(
                    f"{context[:100]!r} is not a context's name; use up to 64 letters, digits, - and _."
                )
            kernel = f"{language.name}/{context}"
        return admit_step(self._policy, request, language=language, spec=self._spec, kernel=kernel)

    def _require_open(self) -> None:
        if self._ended:
            raise SessionEnded(self._ended)

    def _note(self, exited: Exited | None) -> None:
        if exited is None:
            self._ended = "The session's container was lost, and its state with it; open another session."
        elif exited.reason == "sandbox_broken":
            self._ended = f"{_CAUSES.get(exited.status, _DIED)}, and its state with it; open another session."


_DIED = "The session's container died"
_CAUSES = {
    "out_of_memory": "The session's container ran out of memory and is gone",
    "timed_out": "The session's container no longer answered and was removed",
}
