"""The runs of this server: each started, followed, ended and kept for a while under its handle.

A handle is bound to its principal: another one's is answered like one that never was.
"""

import logging
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from sandbox_runner.errors import EngineError, InvalidRequest, QueueFull, SandboxError
from sandbox_runner.events import Event, Output, Started
from sandbox_runner.request import Principal, RunRequest
from sandbox_runner.result import RunResult
from sandbox_runner.server.reports import Status
from sandbox_runner.spec import ResolvedLimits
from sandbox_runner.spool import Record, Spool

if TYPE_CHECKING:
    from sandbox_runner.runner import Runner
    from sandbox_runner.running import RunStream

_LOG = logging.getLogger(__name__)
_FINISHED = 256  # finished runs that are remembered; each may hold two files open
_UNFINISHED = 4096  # a bound above what the runner's own queue lets wait
_FRESH = 8192  # characters of output that wait for the next progress message
_LINE = 512  # characters of a line whose end has not come

HIDDEN = "The service cannot run programs now; its operator can see why."
_UNKNOWN = (
    "There is no run {run_id!r}: it never was, or it is no longer kept. "
    "list_runs shows those that are; run the program again to get its output."
)


class Run:
    """One run, from the moment it was asked for. ``started`` is Unix time in seconds."""

    def __init__(
        self,
        request: RunRequest,
        limits: ResolvedLimits,
        principal: Principal,
        record: Record,
        *,
        in_session: bool = False,
    ) -> None:
        self.run_id = secrets.token_hex(16)
        self.request = request
        self.limits = limits
        self.principal = principal
        self.record = record
        self.in_session = in_session
        self.created = time.time()
        self.started: float | None = None
        self.ended: float | None = None
        self.result: RunResult | None = None
        self.error: SandboxError | None = None
        self.finished = anyio.Event()
        self.news = anyio.Event()
        self._fresh: deque[str] = deque()
        self._fresh_size = 0
        self._line = ""
        self._told = ""
        self._installs = False
        self._stream: RunStream | None = None
        self._scope = anyio.CancelScope()

    @property
    def what(self) -> str:
        """What runs, in a word or a line: the language, or the command."""
        return self.request.language or " ".join(" ".join(self.request.command or ())[:400].split())[:200]

    @property
    def status(self) -> Status:
        """``queued``, ``installing`` where it waits for its packages, and ``running``, then how it ended.

        ``failed`` where it did not come to a run.
        """
        if self.result is not None:
            return self.result.status
        if self.error is not None:
            return "failed"
        if self.finished.is_set():
            return "cancelled"
        if self.started is None:
            return "installing" if self._installs else "queued"
        return "running"

    def cancel(self) -> None:
        """Ends the program; its output so far and the status ``cancelled`` remain. Harmless at any time."""
        if self._stream is not None:
            self._stream.cancel()
        else:
            self._scope.cancel()

    def abort(self) -> None:
        """Removes the container without asking the program."""
        self._scope.cancel()

    def take_fresh(self) -> str:
        """The output since the last call, from the beginning of its first line: of much, the end.

        Before there is any, the newest line that was told.
        """
        if not self._fresh:
            told, self._told = self._told, ""
            return told
        text = (self._line + "".join(self._fresh))[-_FRESH:]
        self._line = text.rpartition("\n")[2][-_LINE:]
        self._fresh.clear()
        self._fresh_size = 0
        return text

    def tell(self, line: str) -> None:
        """Tells whoever follows it how its packages are installed, before it can start."""
        self._told = line
        self._installs = True
        self._wake()

    def forget_answer(self) -> None:
        """The caller has its answer: the value and the displays in it may be large, and are not kept."""
        if self.result is not None:
            self.result = replace(self.result, value=None, displays=())

    async def drive(self, opening: "Opening", *, operator: bool) -> None:
        """Runs it as ``opening`` begins it. What goes wrong is kept in ``error``, but for a cancellation.

        Where the caller is not the operator ``error`` says nothing of the engine; the log does.
        """
        try:
            with self._scope:
                await self._follow(opening)
        except SandboxError as error:
            self.error = error
        except Exception:  # noqa: BLE001 - a bug that one run meets must not end the others
            _LOG.exception("run %s", self.run_id)
            self.error = EngineError("The server met a bug of its own; its log says more.")
        finally:
            if isinstance(self.error, EngineError) and not operator:
                _LOG.error("run %s: %s", self.run_id, self.error)
                self.error = EngineError(HIDDEN)
            self.request = _outline(self.request)
            self.ended = time.time()
            self._stream = None
            self.record.finish()
            self.finished.set()
            self.news.set()

    async def _follow(self, opening: "Opening") -> None:
        async with opening(self) as stream:
            self._stream = stream
            async for event in stream:
                self._take(event)
            result = await stream.result()
        self.record.attach(result.artifacts)
        omitted = result.artifacts_omitted + len(result.artifacts) - len(self.record.attached)
        self.result = replace(result, artifacts=(), artifacts_omitted=omitted)

    def _take(self, event: Event) -> None:
        if isinstance(event, Started):
            self.started = time.time()
            self._told = ""
        elif isinstance(event, Output):
            self.record.append(event.stream, event.data)
            self._fresh.append(event.text[-_FRESH:])
            self._fresh_size += len(self._fresh[-1])
            while self._fresh_size - len(self._fresh[0]) >= _FRESH:
                self._fresh_size -= len(self._fresh.popleft())
        self._wake()

    def _wake(self) -> None:
        self.news.set()
        self.news = anyio.Event()


Opening = Callable[[Run], AbstractAsyncContextManager["RunStream"]]
"""Begins a run; lossless, as what is read goes to the spool, which never waits for a client."""


def _outline(request: RunRequest) -> RunRequest:
    """``request`` without what may be large, for as long as the run is remembered."""
    files = tuple(replace(file, data=b"") for file in request.files)
    code = None if request.code is None else ""
    return replace(request, code=code, stdin=b"", files=files, value=None)


class Runs:
    """All runs of this server, in its task group."""

    def __init__(
        self,
        tasks: TaskGroup,
        runner: Callable[[], Awaitable["Runner"]],
        *,
        spool: Spool,
        ttl: float,
        operator: bool,
    ) -> None:
        self._tasks = tasks
        self._runner = runner
        self._spool = spool
        self._ttl = ttl
        self._operator = operator
        self._runs: OrderedDict[str, Run] = OrderedDict()

    def start(
        self,
        request: RunRequest,
        limits: ResolvedLimits,
        principal: Principal,
        *,
        in_session: Opening | None = None,
    ) -> Run:
        """Begins a run that `policy.check` has passed, in a container of its own or as told.

        Raises QueueFull.
        """
        self._forget_old()
        if sum(not run.finished.is_set() for run in self._runs.values()) >= _UNFINISHED:
            raise QueueFull("Too many runs wait already; try again in a moment.", retry_after=10)
        run = Run(request, limits, principal, self._spool.record(), in_session=in_session is not None)
        self._runs[run.run_id] = run
        self._tasks.start_soon(partial(run.drive, in_session or self._alone, operator=self._operator))
        return run

    @asynccontextmanager
    async def _alone(self, run: Run) -> AsyncIterator["RunStream"]:
        runner = await self._runner()
        async with runner.stream(
            run.request, run.principal, run_id=run.run_id, lossless=True, tell=run.tell
        ) as stream:
            yield stream

    def find(self, run_id: str, principal: Principal) -> Run:
        """Raises InvalidRequest, in the same words for a handle that is unknown, gone, or another's."""
        self._forget_old()
        run = self._runs.get(run_id)
        if run is None or run.principal != principal:
            raise InvalidRequest(_UNKNOWN.format(run_id=run_id[:100]))
        return run

    def of(self, principal: Principal) -> list[Run]:
        """The principal's runs, the newest first."""
        self._forget_old()
        return [run for run in reversed(self._runs.values()) if run.principal == principal]

    def _forget_old(self) -> None:
        finished = [run for run in self._runs.values() if run.ended is not None]
        oldest = time.time() - self._ttl
        surplus = len(finished) - _FINISHED
        for position, run in enumerate(sorted(finished, key=lambda run: run.ended or 0)):
            if position < surplus or (run.ended or 0) < oldest:
                run.record.discard()
                del self._runs[run.run_id]
