"""What the tools work on: the policy, the runs, and an engine that is connected when first needed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup, TaskStatus

from sandbox_runner.config import Config
from sandbox_runner.policy import Policy
from sandbox_runner.runner import Runner
from sandbox_runner.server.first_use import Images
from sandbox_runner.server.runs import Runs
from sandbox_runner.server.task_book import TaskBook
from sandbox_runner.sessions import Session
from sandbox_runner.sessions.book import Book
from sandbox_runner.spool import Spool


class Connection:
    """The runner, opened by the first who needs it; a failure is told and the next one tries again."""

    def __init__(self, config: Config, tasks: TaskGroup) -> None:
        self._config = config
        self._tasks = tasks
        self._opening = anyio.Lock()
        self._runner: Runner | None = None

    async def runner(self) -> Runner:
        """Raises EngineUnavailable."""
        async with self._opening:
            if self._runner is None:
                await self._tasks.start(self._keep_open)
            assert self._runner is not None
            return self._runner

    async def _keep_open(self, *, task_status: TaskStatus[None]) -> None:
        async with Runner.open(self._config, pool=True) as runner:
            self._runner = runner
            try:
                task_status.started()
                await anyio.sleep_forever()
            finally:  # whoever had it opened may be cancelled just then: the next opens another
                self._runner = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """``operator``: callers are the people who run this server, so they are told what is wrong with it."""

    config: Config
    policy: Policy
    connection: Connection
    runs: Runs
    tasks: TaskBook
    images: Images
    sessions: Book[Session]
    operator: bool


@asynccontextmanager
async def open_service(config: Config, *, operator: bool) -> AsyncIterator[Service]:
    """A service; when the context ends every run of it is over and its container gone.

    It opens where no engine answers, too: each run then says so. Raises nothing of its own.
    """
    async with anyio.create_task_group() as keeping:
        connection = Connection(config, keeping)
        try:
            # Runs need the connection for their removal, so theirs is the inner group.
            async with anyio.create_task_group() as running:
                try:
                    yield Service(
                        config=config,
                        policy=config.policy(),
                        connection=connection,
                        runs=Runs(
                            running,
                            connection.runner,
                            spool=Spool(config.spool),
                            ttl=config.run_ttl,
                            operator=operator,
                        ),
                        tasks=TaskBook(running, ttl=config.run_ttl),
                        sessions=Book(running, most_each=config.max_sessions_each, kept=config.run_ttl),
                        images=Images(config, running, allowed=operator and config.build_on_first_use),
                        operator=operator,
                    )
                finally:
                    running.cancel_scope.cancel()
        finally:
            keeping.cancel_scope.cancel()
