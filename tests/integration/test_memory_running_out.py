"""A container that the kernel ends for want of memory, on a Docker engine that is late to say so."""

from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import psutil
import pytest
from faulty_proxy import proxied

from sandbox_runner import Config, Limits, Output, Runner, RunRequest
from sandbox_runner.definitions import image_tag
from sandbox_runner.engines.docker import oom
from sandbox_runner.engines.docker import sentry as docker_sentry
from sandbox_runner.engines.docker.connection import connect
from sandbox_runner.engines.docker.removal import state_of
from sandbox_runner.engines.sentry import has_ended

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]
PATIENCE = 60  # seconds; nothing waits that long where it works
BASE = image_tag("base")  # an image without our agent
OUTGROWS = ["sh", "-c", "python3 -c 'x = bytearray(1 << 30)'; echo up; exec sleep 60"]
SLEEPS = ["sh", "-c", "echo up; exec sleep 60"]


def is_look(line: str) -> bool:
    return line.startswith("GET ") and "/containers/" in line and "/json " in line


def late(line: str) -> str | None:
    """The engine does not know it yet when it is asked."""
    return "forget" if is_look(line) else None


def too_late(line: str) -> None:
    """The container has removed itself before the engine is asked."""
    if is_look(line):
        with closing(connect(None)) as client:
            while state_of(client, line.split("/containers/")[1].split("/")[0]) is not None:
                pass  # Docker 20.10 may miss whoever waits for it


@contextmanager
def noted(folder: Path, engine: Path, what: str | None = None):
    """The address of an engine with the fault ``what`` for who awaits news, and all such requests."""
    asked: list[str] = []

    def note(line: str) -> str | None:
        if "/events?" not in line:
            return None
        asked.append(line)
        return what

    with proxied(folder, engine, note) as (address, _):
        yield address, asked


def first_process(client, run_id: str) -> psutil.Process:
    return psutil.Process(client.inspect_container(f"sandbox-runner-{run_id}")["State"]["Pid"])


def await_word(run_id: str) -> None:
    """Returns when the engine has told that memory ran out in the run's container."""
    filters = {"container": f"sandbox-runner-{run_id}", "event": "oom"}
    with closing(connect(None)) as client:
        next(client.events(since=1, filters=filters))


async def outgrown(runner, client, *, image: str | None):
    """The result of a run whose memory runs out and whose PID 1 the kernel kills.

    It would kill both at once; so that the engine is sure to hear of it, here it kills first another one.
    """
    request = RunRequest(command=OUTGROWS, limits=Limits(memory="96m"), image=image)
    async with runner.stream(request) as stream:
        async for event in stream:
            if isinstance(event, Output) and event.stream == "stdout":
                await_word(stream.run_id)
                first_process(client, stream.run_id).kill()
        return await stream.result()


async def killed(runner, client, *, image: str | None):
    """The result of a run whose container someone else kills."""
    async with runner.stream(RunRequest(command=SLEEPS, image=image)) as stream:
        async for event in stream:
            if isinstance(event, Output):
                client.kill(f"sandbox-runner-{stream.run_id}")
        return await stream.result()


@pytest.mark.parametrize("image", [None, BASE])
@pytest.mark.parametrize("fault", [late, too_late])
async def test_a_container_that_ran_out_of_memory_says_so(
    tmp_path, engine_socket, docker_client, fault, image
):
    with proxied(tmp_path, engine_socket, fault) as (address, _), anyio.fail_after(PATIENCE):
        async with Runner.open(Config(docker_host=address)) as runner:
            result = await outgrown(runner, docker_client, image=image)
    assert (result.status, result.stdout, result.limits_hit) == ("out_of_memory", "up\n", {"memory": 1})


@pytest.mark.parametrize("image", [None, BASE])
@pytest.mark.parametrize("what", [None, "refuse", "swallow", "ignore"])
async def test_one_that_someone_kills_did_not_also_where_the_engine_tells_nothing(
    tmp_path, engine_socket, docker_client, monkeypatch, what, image
):
    if what == "ignore":
        monkeypatch.setattr(oom, "SELF_REMOVAL_TIME", 0.1)
    with noted(tmp_path, engine_socket, what) as (address, asked), anyio.fail_after(PATIENCE):
        async with Runner.open(Config(docker_host=address)) as runner:
            result = await killed(runner, docker_client, image=image)
    if image is None:
        assert (result.status, result.signal, result.reason) == ("signaled", 9, "sandbox_broken")
    else:
        assert (result.status, result.exit_code) == ("exited", 137)
    assert (len(asked), result.limits_hit) == (1, {})


async def test_one_that_is_killed_as_it_does_not_end_when_cancelled_waits_for_no_news(
    tmp_path, engine_socket, docker_client
):
    with noted(tmp_path, engine_socket) as (address, asked), anyio.fail_after(PATIENCE):
        async with Runner.open(Config(docker_host=address)) as runner:
            async with runner.stream(RunRequest(command=SLEEPS)) as stream:
                async for event in stream:
                    if isinstance(event, Output):
                        first_process(docker_client, stream.run_id).suspend()
                        stream.cancel()
                result = await stream.result()
    assert (result.status, result.reason, asked) == ("cancelled", "sandbox_broken", [])


@pytest.mark.parametrize("image", [None, BASE])
async def test_what_ends_otherwise_waits_for_no_news(tmp_path, engine_socket, image):
    requests = {
        "exited": RunRequest(command=["true"], image=image),
        "timed_out": RunRequest(command=["sleep", "60"], limits=Limits(wall_time=0.5), image=image),
        "output_limit": RunRequest(command=["yes"], limits=Limits(output=1000), image=image),
    }
    with noted(tmp_path, engine_socket) as (address, asked):
        async with Runner.open(Config(docker_host=address)) as runner:
            assert {status: (await runner.run(each)).status for status, each in requests.items()} == {
                status: status for status in requests
            }
            async with runner.stream(RunRequest(command=SLEEPS, image=image)) as stream:
                async for event in stream:
                    if isinstance(event, Output):
                        stream.cancel()
                assert (await stream.result()).status == "cancelled"
    assert asked == []


def loses_its_word(address: str):
    """An engine that removes a container before it can be looked at again, and tells nothing of it."""
    looks: set[str] = set()

    def fault(line: str) -> str | None:
        if "/events?" in line:
            return "refuse"
        if not is_look(line):
            return None
        container = line.split("/containers/")[1].split("/")[0]
        if container in looks:  # the first look is at what holds it, before any job
            with closing(connect(address)) as client:
                while state_of(client, container) is not None:
                    pass
        looks.add(container)
        return None

    return fault


async def test_with_gvisor_what_ends_before_it_is_looked_at_has_ended_and_is_not_refused(
    gvisor_address, monkeypatch
):
    """In an image that is not ours the program runs at once, and its end is gVisor's."""
    look = docker_sentry.require_sentry

    def end_then_look(pid: int, container: str) -> None:
        psutil.Process(pid).kill()
        while not has_ended(pid):
            pass
        look(pid, container)

    monkeypatch.setattr(docker_sentry, "require_sentry", end_then_look)
    config = Config(docker_host=gvisor_address, oci_runtime="runsc")
    with anyio.fail_after(PATIENCE):
        async with Runner.open(config) as runner:
            result = await runner.run(RunRequest(command=SLEEPS, image=BASE))
    assert (result.status, result.exit_code) == ("exited", 137)


@contextmanager
def with_gvisor_and_no_word(folder: Path, address: str):
    """What configures a runner for such an engine, and a client of the engine itself."""
    engine = Path(address.removeprefix("unix://"))
    with proxied(folder, engine, loses_its_word(address)) as (lossy, _), closing(connect(address)) as client:
        yield Config(docker_host=lossy, oci_runtime="runsc"), client


async def test_with_gvisor_the_kernel_tells_what_the_engine_has_lost(tmp_path, gvisor_address):
    with with_gvisor_and_no_word(tmp_path, gvisor_address) as (config, _), anyio.fail_after(PATIENCE):
        async with Runner.open(config) as runner:
            result = await runner.run(RunRequest(command=OUTGROWS, limits=Limits(memory="96m")))
    assert (result.status, result.limits_hit) == ("out_of_memory", {"memory": 1})


async def test_with_gvisor_one_that_someone_kills_did_not_run_out_of_memory(tmp_path, gvisor_address):
    with with_gvisor_and_no_word(tmp_path, gvisor_address) as (config, client), anyio.fail_after(PATIENCE):
        async with Runner.open(config) as runner:
            result = await killed(runner, client, image=None)
    assert (result.status, result.limits_hit, result.reason) == ("signaled", {}, "sandbox_broken")
