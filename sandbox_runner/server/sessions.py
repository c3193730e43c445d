"""The tools that open, list and close sessions, and what the others need to run in one."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, CallToolResult

from sandbox_runner.errors import EngineError, ImageNotFound, InvalidRequest, SandboxError
from sandbox_runner.keeping import cancelled_group
from sandbox_runner.languages import find_language
from sandbox_runner.request import Limits, RunRequest
from sandbox_runner.running import RunStream
from sandbox_runner.server import arguments as ask
from sandbox_runner.server.identity import principal_of
from sandbox_runner.server.progress import Lines, Reporter, report_waiting
from sandbox_runner.server.render import page, refused
from sandbox_runner.server.reports import Report
from sandbox_runner.server.runs import HIDDEN, Opening, Run
from sandbox_runner.server.service import Service
from sandbox_runner.server.session_reports import SessionList, SessionReport, SnapshotReport
from sandbox_runner.sessions import Session
from sandbox_runner.sessions.book import Entry

_LOG = logging.getLogger(__name__)
_LISTED = 50
_MIB = 1 << 20
_ANYWHERE = "bash"  # the language of every image


@dataclass(frozen=True, slots=True)
class Sessions:
    """open_session, close_session, list_sessions and snapshot_session over one service."""

    service: Service

    async def open_session(
        self,
        context: Context,
        language: ask.Language = "python",
        ttl_s: ask.Lifetime = None,
        idle_s: ask.Idle = None,
        memory_mb: ask.Memory = None,
        snapshot: ask.Snapshot = "",
        packages: ask.Packages = [],  # noqa: B006 - pydantic copies it
    ) -> Annotated[CallToolResult, SessionReport]:
        """Open a sandbox that lives on between calls: variables, imports, files, a shell's folder.

        Pass the handle as session to run_code, run_shell and the file tools. It ends after idle_s without
        use or after ttl_s; close it when you are done.
        """
        try:
            limits = Limits(memory=None if memory_mb is None else memory_mb * _MIB)
            entry = await self._open(
                context, language, limits=limits, ttl=ttl_s, idle=idle_s, snapshot=snapshot or None,
                packages=packages,
            )  # fmt: skip
        except SandboxError as error:
            return refusal(self.service, SessionReport, error)
        report = _report(entry)
        return page(report, f"open: session {report.session} ({language})\nIt ends {_expiry(entry.session)}.")

    async def close_session(
        self, context: Context, session: ask.Session
    ) -> Annotated[CallToolResult, SessionReport]:
        """End a session; its variables and files are gone. Harmless where it is over already."""
        try:
            entry = self.service.sessions.find(session, principal_of(context))
        except SandboxError as error:
            return refused(SessionReport, error)
        await entry.close()
        report = _report(entry)
        return page(report, f"ended\nNote: {report.notes[0]}")

    async def list_sessions(self, context: Context) -> Annotated[CallToolResult, SessionList]:
        """List your sessions, the newest first: those that are open, and why others have ended."""
        entries = self.service.sessions.of(principal_of(context))[:_LISTED]
        reports = [_report(entry) for entry in entries]
        return page(SessionList(sessions=reports), "\n".join(map(_line, reports)) or "There are no sessions.")

    async def snapshot_session(
        self, context: Context, session: ask.Session
    ) -> Annotated[CallToolResult, SnapshotReport]:
        """Keep a session's files: open_session(snapshot=…) begins with them. Variables are not kept."""
        try:
            snapshot = await find(self.service, context, session).snapshot()
        except SandboxError as error:
            return refusal(self.service, SnapshotReport, error)
        return page(SnapshotReport(status="taken", snapshot=snapshot), f"taken: snapshot {snapshot}")

    async def _open(self, context: Context, language: str, **asked: Any) -> Entry[Session]:  # noqa: ANN401
        """The session that ``asked`` describes, as arguments of `Runner.session`."""
        principal = principal_of(context)
        runner = await self.service.connection.runner()
        most = self.service.config.max_sessions or max(1, await runner.places() // 2)

        lines = Lines()

        def opening() -> AbstractAsyncContextManager[Session]:
            return runner.session(language, principal=principal, tell=lines.tell, **asked)

        name = find_language(language).name
        reporter = Reporter(context, total=None)
        async with cancelled_group() as tasks:
            tasks.start_soon(report_waiting, reporter, "opening", lines)
            try:
                return await self.service.sessions.open(principal, name, opening, most=most)
            except ImageNotFound:
                if not self.service.images.allowed:
                    raise
            await self.service.images.build(reporter.say)
            return await self.service.sessions.open(principal, name, opening, most=most)


def find(service: Service, context: Context, handle: str) -> Session:
    """The caller's session. Raises InvalidRequest for another handle, SessionEnded where it is over."""
    return service.sessions.find(handle, principal_of(context)).session


def begin(session: Session, request: RunRequest, context_name: str) -> Opening:
    """Has ``request`` run in the session. Raises InvalidRequest for what cannot be there."""
    assert request.code is not None
    spoken = find_language(request.language or "")
    if spoken.image != session.language.image and spoken.name != _ANYWHERE:
        raise InvalidRequest(
            f"This session is for {session.language.name}; open another one for {spoken.name}."
        )
    if request.env or request.limits.memory or request.packages:
        raise InvalidRequest(
            "In a session env, memory_mb and packages cannot be given: set variables in the code, and give "
            "memory_mb and packages when you open it."
        )

    @asynccontextmanager
    async def opening(run: Run) -> AsyncIterator[RunStream]:
        asked = run.request
        assert asked.code is not None
        async with session.stream(
            asked.code, language=spoken.name, context=context_name, stdin=asked.stdin, files=asked.files,
            limits=asked.limits, artifacts=asked.artifacts, lossless=True,
        ) as stream:  # fmt: skip
            yield stream

    return opening


def refusal(service: Service, kind: type[Report], error: SandboxError) -> CallToolResult:
    """Why a tool did nothing. Raises MCPError for a broken engine where callers are not the operator."""
    if isinstance(error, EngineError) and not service.operator:
        _LOG.error("%s", error)
        raise MCPError(INTERNAL_ERROR, HIDDEN)
    return refused(kind, error)


def _report(entry: Entry[Session]) -> SessionReport:
    age = round(time.time() - entry.opened, 1)
    if entry.reason:
        return SessionReport(
            status="ended", session=entry.handle, language=entry.language, age_s=age, notes=[entry.reason]
        )
    return SessionReport(
        status="open",
        session=entry.handle,
        language=entry.language,
        age_s=age,
        expires_in_s=round(entry.session.left, 1),
    )


def _expiry(session: Session) -> str:
    return f"in {session.left:.0f} s if nothing uses it"


def _line(report: SessionReport) -> str:
    how = report.notes[0] if report.notes else f"ends in {report.expires_in_s:.0f} s if nothing uses it"
    return f"{report.session} {report.status} {report.language} ({report.age_s:.0f} s old): {how}"
