"""The tasks of this server: calls that go on after their first answer, each kept for a while under its id.

A task is bound to its principal: another one's is answered like one that never was.
"""

import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Literal

import anyio
from anyio import get_cancelled_exc_class
from anyio.abc import TaskGroup
from mcp.server.context import HandlerResult
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, CallToolResult, ErrorData

from sandbox_runner.errors import InvalidRequest
from sandbox_runner.request import Principal

Status = Literal["working", "completed", "failed", "cancelled"]
Say = Callable[[str], None]
Work = Callable[[Say], Awaitable[HandlerResult]]

_LOG = logging.getLogger(__name__)
_FINISHED = 1000  # finished tasks that are remembered
_ROOM = 64 << 20  # bytes of their results; the newest is kept whatever its size
_LEAVING = 5.0  # seconds for the container of a cancelled call to go
_MESSAGE = 200  # characters of a message

_BUG = ErrorData(code=INTERNAL_ERROR, message="The server met a bug of its own; its log says more.")
_UNKNOWN = (
    "There is no task {task_id!r}: it never was, or it is no longer kept. "
    "Call the tool again to get its answer."
)


class Task:
    """One call of a tool, from its start. ``created``, ``updated`` and ``ended`` are Unix time in seconds.

    ``result`` is what the tool answered, a CallToolResult as JSON, once `keep` was called.
    """

    def __init__(self, principal: Principal) -> None:
        self.task_id = f"task-{secrets.token_hex(16)}"
        self.principal = principal
        self.created = self.updated = time.time()
        self.ended: float | None = None
        self.message: str | None = None
        self.result: bytes | None = None
        self.error: ErrorData | None = None
        self.finished = anyio.Event()
        self._answer: HandlerResult = None
        self._raised: Exception | None = None
        self._scope = anyio.CancelScope()

    @property
    def status(self) -> Status:
        """``completed`` where the tool answered, also with its error; ``failed`` where it did not."""
        if not self.finished.is_set():
            return "working"
        if self.error is not None:
            return "failed"
        return "cancelled" if self.result is None else "completed"

    def say(self, message: str) -> None:
        """Notes the first line of ``message`` as what is newest."""
        self.message = message.partition("\n")[0][:_MESSAGE]
        self.updated = time.time()

    def cancel(self) -> None:
        """Ends the call; harmless at any time. It is over when ``finished`` is set."""
        self._scope.cancel()

    async def drive(self, work: Work) -> None:
        """Does the work, which says how far it is. What it raises is kept; a server's end is raised."""
        try:
            with self._scope:
                self._answer = await work(self.say)
        except Exception as error:  # noqa: BLE001 - it is the answer of this call, and must not end the others
            self._raised = error
        finally:
            self.ended = self.updated = time.time()
            self.message = None
            self.finished.set()

    async def settle(self, seconds: float) -> bool:
        """Whether the call is over within ``seconds``. A caller who leaves meanwhile ends it."""
        try:
            with anyio.move_on_after(seconds):
                await self.finished.wait()
        except get_cancelled_exc_class():
            self.cancel()
            with anyio.CancelScope(shield=True), anyio.move_on_after(_LEAVING):
                await self.finished.wait()
            raise
        return self.finished.is_set()

    def answer(self) -> HandlerResult:
        """What the tool answered, unchanged. Raises what it raised, MCPError where it was cut off."""
        if self._raised is not None:
            raise self._raised
        if self._answer is None:
            raise MCPError(INTERNAL_ERROR, "The server is ending.")
        return self._answer

    def keep(self) -> None:
        """Turns the answer of a call that is over into what a task's reader gets."""
        if isinstance(self._answer, CallToolResult):
            self.result = self._answer.model_dump_json(by_alias=True, exclude_none=True).encode()
        elif isinstance(self._raised, MCPError):
            self.error = self._raised.error
        elif self._answer is not None or self._raised is not None:
            _LOG.error("%s: no answer for a task", self.task_id, exc_info=self._raised)
            self.error = _BUG
        self._answer = self._raised = None
        if self.error is not None:
            self.message = self.error.message[:_MESSAGE]


class TaskBook:
    """All tasks of this server, their work in its task group. A finished one is kept for ``ttl`` seconds."""

    def __init__(self, tasks: TaskGroup, *, ttl: float) -> None:
        self.ttl = ttl
        self._group = tasks
        self._tasks: OrderedDict[str, Task] = OrderedDict()

    def start(self, principal: Principal, work: Work) -> Task:
        """Begins ``work`` for the principal. Nobody finds the task before it is added."""
        task = Task(principal)
        self._group.start_soon(self._drive, task, work)
        return task

    def add(self, task: Task) -> None:
        """From now on the task is found. It has to be one that works."""
        self._tasks[task.task_id] = task

    def find(self, task_id: str, principal: Principal) -> Task:
        """Raises InvalidRequest, in the same words for an id that is unknown, gone, or another's."""
        self._forget_old()
        task = self._tasks.get(task_id)
        if task is None or task.principal != principal:
            raise InvalidRequest(_UNKNOWN.format(task_id=task_id[:100]))
        return task

    async def _drive(self, task: Task, work: Work) -> None:
        try:
            await task.drive(work)
        finally:
            if task.task_id in self._tasks:
                task.keep()
                self._tasks.move_to_end(task.task_id)  # so that the finished ones are in order of their end
                self._forget_old()

    def _forget_old(self) -> None:
        oldest = time.time() - self.ttl
        finished = [task for task in reversed(self._tasks.values()) if task.ended is not None]
        room = _ROOM
        for position, task in enumerate(finished):
            room -= len(task.result or b"")
            surplus = position >= _FINISHED or (position > 0 and room < 0)
            if surplus or (task.ended or 0) < oldest:
                del self._tasks[task.task_id]
