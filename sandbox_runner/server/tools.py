"""The tools that run programs: asked, refused or run, followed, answered."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import anyio
from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, CallToolResult

from sandbox_runner.errors import EngineError, ImageNotFound, InvalidRequest, SandboxError
from sandbox_runner.languages import find_language, images_of
from sandbox_runner.policy import check
from sandbox_runner.request import RunRequest
from sandbox_runner.server import arguments as ask
from sandbox_runner.server.identity import principal_of
from sandbox_runner.server.progress import Reporter, report_output
from sandbox_runner.server.render import answer, refusal
from sandbox_runner.server.reports import FunctionReport, RunReport
from sandbox_runner.server.runs import Run
from sandbox_runner.server.service import Service
from sandbox_runner.server.sessions import begin, find
from sandbox_runner.server.values import encode_value
from sandbox_runner.sessions.session import SHELL

_LEAVING = 5.0  # seconds for the container of a cancelled call to go


@dataclass(frozen=True, slots=True)
class InSession:
    """Where a run is to take place: a session by its handle, and whose variables it finds there."""

    session: str
    context: str


@dataclass(frozen=True, slots=True)
class Programs:
    """run_code, run_shell and run_function over one service."""

    service: Service

    async def run_code(
        self,
        ctx: Context,
        language: ask.Language,
        code: ask.Code,
        stdin: ask.Stdin = "",
        files: ask.Files = [],  # noqa: B006 - pydantic copies it
        env: ask.Env = {},  # noqa: B006
        artifacts: ask.Artifacts = [],  # noqa: B006
        timeout_s: ask.Timeout = 30,
        memory_mb: ask.Memory = None,
        background: ask.Background = False,
        display: ask.Display = False,
        packages: ask.Packages = [],  # noqa: B006
        session: ask.InSession = "",
        context: ask.InContext = "main",
    ) -> Annotated[CallToolResult, RunReport]:
        """Run a program in a fresh sandbox and return its output, exit code and pictures.

        The sandbox has no network and starts empty: pass data in files. Write pictures (*.png, *.svg) to
        the current folder, or leave matplotlib figures open, and they come back as images. A non-zero exit
        code is a normal answer. Nothing is kept between calls, but in a session (open_session).
        """

        def request() -> RunRequest:
            if display and background:
                raise InvalidRequest(
                    "What is displayed comes with the answer: leave background or display out."
                )
            limits = ask.limits_of(timeout_s, memory_mb)
            return ask.code_request(
                language, code, stdin=stdin, files=files, env=env, limits=limits, artifacts=artifacts,
                packages=packages, display=display,
            )  # fmt: skip

        place = InSession(session, context) if session else None
        return await call(self.service, ctx, request, background=background, place=place)

    async def run_shell(
        self,
        ctx: Context,
        command: ask.Command,
        stdin: ask.Stdin = "",
        files: ask.Files = [],  # noqa: B006 - pydantic copies it
        env: ask.Env = {},  # noqa: B006
        artifacts: ask.Artifacts = [],  # noqa: B006
        timeout_s: ask.Timeout = 30,
        memory_mb: ask.Memory = None,
        background: ask.Background = False,
        session: ask.InSession = "",
        context: ask.InContext = "main",
    ) -> Annotated[CallToolResult, RunReport]:
        """Run a bash command line in a fresh sandbox that has git, jq, ripgrep, sqlite3, python3 ….

        The sandbox has no network and starts empty: pass data in files. A non-zero exit code is a normal
        answer. Nothing is kept between calls, but in a session (open_session).
        """

        def request() -> RunRequest:
            limits = ask.limits_of(timeout_s, memory_mb)
            request = ask.shell_request(
                command, stdin=stdin, files=files, env=env, limits=limits, artifacts=artifacts
            )
            return replace(request, language=SHELL, code=command, command=None) if session else request

        place = InSession(session, context) if session else None
        return await call(self.service, ctx, request, background=background, place=place)

    async def run_function(
        self,
        context: Context,
        code: ask.Function,
        input: ask.Value,  # noqa: A002 - the tool's word
        language: ask.FunctionLanguage = "python",
        files: ask.Files = [],  # noqa: B006 - pydantic copies it
        env: ask.Env = {},  # noqa: B006
        artifacts: ask.Artifacts = [],  # noqa: B006
        timeout_s: ask.Timeout = 30,
        memory_mb: ask.Memory = None,
    ) -> Annotated[CallToolResult, FunctionReport]:
        """Apply a function to data: the code defines execute(input), its return value comes back as JSON.

        What the function prints is stdout, apart from the value. The sandbox has no network.
        """

        def request() -> RunRequest:
            return RunRequest(
                language=language,
                code=code,
                value=encode_value(_as_sent(context, "input", input)),
                env=env,
                files=ask.input_files(files),
                limits=ask.limits_of(timeout_s, memory_mb),
                artifacts=(*ask.SHOWN, *artifacts),
            )

        return await call(self.service, context, request, function=True)


def _as_sent(context: Context, name: str, value: object) -> object:
    """An argument as the client sent it: the SDK decodes a text that looks like JSON."""
    sent = (context.request_context.params or {}).get("arguments") or {}
    return sent.get(name, value)


async def call(
    service: Service,
    context: Context,
    make_request: Callable[[], RunRequest],
    *,
    background: bool = False,
    function: bool = False,
    place: InSession | None = None,
) -> CallToolResult:
    """Runs what was asked and answers. A cancelled call has its container removed before it returns."""
    try:
        request = make_request()
        run = start(service, context, request, place)
    except SandboxError as error:
        return refusal(error, function=function)
    if background:
        return answer(run, service.config, function=function)
    reporter = Reporter(context, total=run.limits.wall_time)
    await _followed(run, reporter)
    run = await _with_images(service, context, run, request, reporter)
    _refuse_hidden(service, run)
    result = answer(run, service.config, function=function)
    run.forget_answer()
    return result


def start(service: Service, context: Context, request: RunRequest, place: InSession | None = None) -> Run:
    """Begins a run for the caller. Raises RequestRejected or QueueFull."""
    # What an answer shows is all that is kept of the output beside the spool.
    shown = min(service.config.shown_output, service.config.max_capture)
    request = replace(request, limits=replace(request.limits, capture=shown))
    language = find_language(request.language) if request.language else None
    limits = check(service.policy, request, language=language)
    opening = None
    if place is not None:
        opening = begin(find(service, context, place.session), request, place.context)
    return service.runs.start(request, limits, principal_of(context), in_session=opening)


async def _with_images(
    service: Service, context: Context, run: Run, request: RunRequest, reporter: Reporter
) -> Run:
    """``run``, or another try of ``request`` once the images that it missed are built."""
    if not (isinstance(run.error, ImageNotFound) and service.images.allowed and _usual(service, request)):
        return run
    try:
        await service.images.build(reporter.say)
        again = start(service, context, request)
    except SandboxError as error:
        run.error = error
        return run
    await _followed(again, reporter)
    return again


def _usual(service: Service, request: RunRequest) -> bool:
    """Whether setup makes the image of ``request`` without being told to."""
    return not request.language or find_language(request.language).image in images_of(
        service.config.languages
    )


async def _followed(run: Run, reporter: Reporter) -> None:
    """Waits for the end of ``run`` while the client hears of it; a cancelled call ends the run."""
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(report_output, run, reporter)
            await run.finished.wait()
            tasks.cancel_scope.cancel()
    finally:
        if not run.finished.is_set():
            run.abort()
            with anyio.CancelScope(shield=True), anyio.move_on_after(_LEAVING):
                await run.finished.wait()


def _refuse_hidden(service: Service, run: Run) -> None:
    """Where callers do not operate this server, a broken engine is the server's error and not a result."""
    if isinstance(run.error, EngineError) and not service.operator:
        raise MCPError(INTERNAL_ERROR, str(run.error))
