"""What becomes of a session that nobody uses: its container dies, or computes in the background."""

import os
import signal
from contextlib import closing
from pathlib import Path

import anyio
import psutil
import pytest

from sandbox_runner import Config, Limits, Runner, RunRequest
from sandbox_runner.engines.docker.connection import connect
from sandbox_runner.engines.docker.inventory import list_runs
from sandbox_runner.engines.oci.bundles import Bundle
from sandbox_runner.errors import SessionEnded
from sandbox_runner.request import LOCAL_USER
from sandbox_runner.sessions.book import Book

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
PATIENCE = 60  # seconds; nothing waits that long where it works
# A process of the background that stops itself, and once it is told to goes on to take all memory.
# The file takes memory that no process has: PID 1 has next to none, and yet is to be what the kernel chooses.
STOPPED = """head -c 30m /dev/zero >held
sh -c 'kill -STOP $$; exec python3 -c "x = bytearray(1 << 30)"' &
until grep -q '^State:.*stopped' /proc/$!/status; do :; done"""


ENGINES = ("docker", "oci")
also_under_gvisor = pytest.mark.parametrize(
    "config", [*ENGINES, "docker-runsc", "oci-runsc"], indirect=True, ids=str
)


@pytest.fixture(params=ENGINES)
def config(request):
    """Settings for an engine, and for gVisor on it where that is named after it."""
    engine, _, runtime = request.param.partition("-")
    address = request.getfixturevalue("gvisor_address") if request.param == "docker-runsc" else None
    return Config(engine=engine, oci_runtime=runtime or None, docker_host=address, max_concurrent=1)


@pytest.fixture
async def runner(anyio_backend, config):
    async with Runner.open(config) as runner:
        yield runner
    if config.engine == "docker":
        with closing(connect(config.docker_host)) as client:  # `nothing_left` looks at one daemon only
            assert list_runs(client, instance=runner.instance) == []


@pytest.fixture
def first_process(runner, config):
    """Gives PID 1 of a session's container, as this machine sees it; under gVisor that is all of it."""

    def find(session) -> psutil.Process:
        container = session._container.id
        if config.engine == "oci":
            return psutil.Process(Bundle(runner.instance, container).pid())
        with closing(connect(config.docker_host)) as client:
            return psutil.Process(client.inspect_container(container)["State"]["Pid"])

    return find


@also_under_gvisor
async def test_one_whose_container_is_killed_is_over_at_once_and_gives_its_place_back(
    nothing_left, runner, first_process
):
    async with anyio.create_task_group() as holding:
        book = Book(holding, most_each=1, kept=PATIENCE)
        entry = await book.open(LOCAL_USER, "python", lambda: runner.session("python"), most=1)
        session = entry.session
        assert (await session.run("x = 1")).ok
        os.kill(first_process(session).pid, signal.SIGKILL)
        with anyio.fail_after(PATIENCE):
            assert "container died" in await session.over()
            assert (await runner.run(RunRequest(language="bash", code=":"))).ok  # there is one place
            await entry._gone.wait()
        assert [(each.reason, each.ended is None) for each in book.of(LOCAL_USER)] == [(session.ended, False)]
        with pytest.raises(SessionEnded, match=r"died.*open another"):
            _ = book.find(entry.handle, LOCAL_USER).session


async def test_one_whose_container_runs_out_of_memory_says_so(nothing_left, runner, first_process):
    async with runner.session("python", limits=Limits(memory="96m")) as session:
        assert (await session.shell(STOPPED)).ok
        first = first_process(session)
        processes = first.children(recursive=True)
        for process, score in ((first, 1000), *((each, 0) for each in processes)):  # so that PID 1 is taken
            Path(f"/proc/{process.pid}/oom_score_adj").write_text(str(score))
        for process in processes:
            process.send_signal(signal.SIGCONT)
        with anyio.fail_after(PATIENCE):
            assert "ran out of memory" in await session.over()
        with pytest.raises(SessionEnded, match="ran out of memory"):
            await session.run("1")


@also_under_gvisor
async def test_what_computes_in_the_background_uses_up_the_sessions_cpu_time(nothing_left, runner):
    async with runner.session("python", cpu_time=1) as session:
        burning = await session.shell("while :; do :; done &")
        assert burning.ok
        assert burning.usage.cpu_time < 0.5
        with anyio.fail_after(PATIENCE):
            assert "used up its 1 s of CPU time" in await session.over()
        with pytest.raises(SessionEnded, match="used up"):
            await session.run("1")
