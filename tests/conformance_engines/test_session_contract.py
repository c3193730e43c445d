"""The part of the Engine contract about sessions: several jobs in one container, on every engine there is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from contract import promise
from engines import Bench
from programs import BEGINS, COMPUTES, ENDS, LEAVES, LOOKS, TELLS, WAITS

from sandbox_runner import Limits, RunRequest
from sandbox_runner.engines import Container
from sandbox_runner.events import Event, Exited, Output
from sandbox_runner.languages import find_language
from sandbox_runner.policy import admit_session, admit_step
from sandbox_runner.request import LOCAL_USER
from sandbox_runner.spec import ContainerSpec

pytestmark = pytest.mark.anyio
PATIENCE = 60  # seconds for what must happen; nothing waits that long where it does
BASH = find_language("bash")


class Steps:
    """One container and what runs in it. Each step returns how it ended, and what it printed."""

    def __init__(self, bench: Bench, container: Container, spec: ContainerSpec) -> None:
        self._bench = bench
        self._container = container
        self._spec = spec

    async def used(self) -> float:
        """Seconds of CPU time, as the engine counts them."""
        used = await self._container.cpu_time()
        assert used is not None
        return used

    async def code(self, code: str, *, kernel: str = "a", cancelled: bool = False) -> tuple[Exited, bytes]:
        """A kernel's step; with ``cancelled`` it is interrupted once it has printed something."""
        return await self._step(RunRequest(language="bash", code=code), kernel, cancelled=cancelled)

    async def command(self, argv: tuple[str, ...], limits: Limits | None = None) -> Exited:
        request = RunRequest(command=argv, limits=limits or Limits())
        return (await self._step(request, None, cancelled=False))[0]

    async def _step(
        self, request: RunRequest, kernel: str | None, *, cancelled: bool
    ) -> tuple[Exited, bytes]:
        printed = bytearray()
        due = anyio.Event()

        async def emit(event: Event) -> None:
            if isinstance(event, Output):
                printed.extend(event.data)
            if isinstance(event, Output) or not self._bench.streams:
                due.set()

        async def cancel() -> None:
            await due.wait()
            await self._container.cancel()

        language = BASH if kernel else None
        policy = self._bench.config.policy()
        admission = admit_step(policy, request, language=language, spec=self._spec, kernel=kernel)
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                if cancelled:
                    tasks.start_soon(cancel)
                exited = await self._container.execute(admission.job, emit)
                tasks.cancel_scope.cancel()
        return exited, bytes(printed)


@asynccontextmanager
async def opened(bench: Bench) -> AsyncIterator[Steps]:
    image = await bench.engine.image("shell")
    request = RunRequest(language="bash", code=TELLS)
    with bench.placements.lease() as placement:
        spec = admit_session(
            bench.config.policy(), request, LOCAL_USER,
            language=BASH, image=image, placement=placement, ttl=600, cpu_time=600,
        )  # fmt: skip
        async with bench.engine.create(spec) as container:
            yield Steps(bench, container, spec)


@promise("session.kept")
async def test_a_job_ends_with_its_own_processes_and_kernels_keep_theirs(bench):
    async with opened(bench) as steps:
        assert (await steps.code(BEGINS))[0].exit_code == 0
        assert (await steps.command(LEAVES)).exit_code == 0
        assert (await steps.command(LOOKS)).exit_code == 0
        told, printed = await steps.code(TELLS)
        assert (told.status, told.state_lost, printed) == ("exited", False, b"[1]\n")
        assert (await steps.code(TELLS, kernel="b"))[1] == b"[]\n"


@promise("wait.cpu_time")
async def test_the_cpu_time_of_all_jobs_is_counted(bench):
    async with opened(bench) as steps:
        counts = [await steps.used()]
        for _ in range(2):
            computed = await steps.command(COMPUTES, Limits(cpu_time=0.3))
            assert computed.status == "cpu_limit"
            counts.append(await steps.used())
        # gVisor's own count of a job, which ended it, goes on while that waits for a core.
        least = 0.05 if bench.config.oci_runtime == "runsc" else 0.25
        assert counts[1] - counts[0] >= least
        assert counts[2] - counts[1] >= least
        assert await steps.used() >= counts[2]


@promise("session.cancelled")
async def test_code_is_cancelled_and_its_kernels_state_is_kept(bench):
    async with opened(bench) as steps:
        await steps.code(BEGINS)
        waited, _ = await steps.code(WAITS, cancelled=True)
        assert (waited.status, waited.state_lost, waited.reason) == ("cancelled", False, "")
        told, printed = await steps.code(TELLS)
        assert (told.status, told.state_lost, printed) == ("exited", False, b"[1]\n")


@promise("session.lost")
async def test_the_end_of_a_kernel_is_told_and_is_that_of_no_other(bench):
    async with opened(bench) as steps:
        await steps.code(BEGINS)
        await steps.code(BEGINS, kernel="b")
        ended, _ = await steps.code(ENDS)
        assert (ended.status, ended.exit_code, ended.signal) == ("exited", 3, None)
        assert (ended.state_lost, ended.reason) == (True, "kernel_restarted")
        told, printed = await steps.code(TELLS)
        assert (told.status, told.state_lost, printed) == ("exited", False, b"[]\n")
        assert (await steps.code(TELLS, kernel="b"))[1] == b"[1]\n"
