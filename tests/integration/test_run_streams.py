"""What goes in and out while a run goes on, and what is left where its caller leaves: nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable

import anyio
import pytest
from test_outcomes import BASE, MIB, PYTHON

from sandbox_runner import Config, InputFile, Limits, Runner, RunRequest, run
from sandbox_runner.engines.docker.inventory import list_runs
from sandbox_runner.events import Exited, Output, Started, Truncated

pytestmark = pytest.mark.anyio


@pytest.fixture
async def runner(anyio_backend) -> AsyncIterator[Runner]:
    async with Runner.open(Config()) as runner:
        yield runner


@pytest.fixture
def live(docker_client, runner) -> Callable[[], list[str]]:
    """The ids of the runs of `runner` that have a container."""

    def runs() -> list[str]:
        listed = list_runs(docker_client, instance=runner.instance)
        # Docker 20.10 may go on listing one that is gone for good.
        return [each.run_id for each in listed if each.state != "removing"]

    return runs


def endless(image: str | None, script: str = "echo ready; sleep 1000") -> RunRequest:
    return RunRequest(command=["sh", "-c", script], image=image, limits=Limits(wall_time=100))


async def until_ready(events) -> None:
    async for event in events:
        if isinstance(event, Output):
            return


each_image = pytest.mark.parametrize("image", [None, BASE], ids=["agent", "no agent"])


@each_image
async def test_a_cancelled_run_says_so_and_is_gone(runner, live, image):
    async with runner.stream(endless(image)) as events:
        await until_ready(events)
        assert live() == [events.run_id]
        events.cancel()
        events.cancel()
        result = await events.result()
    assert (result.status, result.exit_code, result.signal, result.stdout) == (
        "cancelled",
        None,
        None,
        "ready\n",
    )
    assert result.limits_hit == {}
    assert live() == []


@each_image
async def test_leaving_the_context_removes_the_container(runner, live, image):
    async with runner.stream(endless(image)) as events:
        await until_ready(events)
        assert live() == [events.run_id]
    assert live() == []


@each_image
async def test_leaving_the_context_while_input_waits_removes_the_container(runner, live, image):
    request = RunRequest(command=["sh", "-c", "echo ready; sleep 1000"], image=image, stdin=bytes(10 * MIB))
    async with runner.stream(request) as events:
        await until_ready(events)
    assert live() == []


@each_image
async def test_an_exception_in_the_consumer_removes_the_container_and_arrives_as_it_is(runner, live, image):
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - it is raised inside on purpose
        async with runner.stream(endless(image)) as events:
            await until_ready(events)
            raise ZeroDivisionError
    assert live() == []


@each_image
async def test_cancelling_the_task_removes_the_container(runner, live, image):
    ready = anyio.Event()

    async def consume() -> None:
        async with runner.stream(endless(image)) as events:
            await until_ready(events)
            ready.set()
            await events.result()

    task = asyncio.create_task(consume())
    await ready.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert live() == []


async def test_a_run_that_is_cancelled_at_any_moment_of_its_start_leaves_nothing(runner, live):
    for moment in range(12):
        with anyio.move_on_after(moment * 0.02):
            await runner.run(endless(None))
        assert live() == []


async def test_run_works_inside_a_running_event_loop():
    assert run("print(2**100)").stdout == f"{2**100}\n"
    assert await anyio.to_thread.run_sync(lambda: run(command=["echo", "hi"]).stdout) == "hi\n"


@each_image
async def test_events_come_in_order_and_end_with_the_end(runner, image):
    request = RunRequest(command=["sh", "-c", "echo one; echo two >&2; exit 4"], image=image)
    async with runner.stream(request) as stream:
        events = [event async for event in stream]
        result = await stream.result()
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Exited)
    assert [event.run_id for event in events if isinstance(event, Started)] == [result.run_id]
    assert {event.stream: event.text for event in events if isinstance(event, Output)} == {
        "stdout": "one\n", "stderr": "two\n",
    }  # fmt: skip
    assert (events[-1].status, events[-1].exit_code, events[-1].usage) == ("exited", 4, result.usage)


async def test_a_character_in_two_pieces_is_in_the_later_event(runner):
    code = "import os\nos.write(1, '€'.encode()[:2]); input(); os.write(1, '€'.encode()[2:])"
    go = anyio.Event()

    async def answer() -> AsyncIterator[bytes]:
        await go.wait()
        yield b"\n"

    outputs = []
    async with runner.stream(RunRequest(command=[*PYTHON, code], stdin=answer())) as events:
        async for event in events:
            if isinstance(event, Output):
                outputs.append((event.data, event.offset, event.text))
                go.set()
    assert outputs == [(b"\xe2\x82", 0, ""), (b"\xac", 2, "€")]


@each_image
async def test_a_consumer_that_is_too_slow_is_told_what_it_missed(runner, image):
    request = RunRequest(
        command=["sh", "-c", "head -c 8000000 /dev/zero; head -c 3000000 /dev/zero >&2"], image=image
    )
    async with runner.stream(request) as stream:
        result = await stream.result()
        events = [event async for event in stream]
    for name, size in (("stdout", 8_000_000), ("stderr", 3_000_000)):
        got = sum(len(event.data) for event in events if isinstance(event, Output) and event.stream == name)
        missed = sum(
            event.dropped for event in events if isinstance(event, Truncated) and event.stream == name
        )
        assert got + missed == size == result.captured[name].total
    assert any(isinstance(event, Truncated) for event in events)
    assert sum(len(event.data) for event in events if isinstance(event, Output)) <= 2 * MIB


@each_image
async def test_a_lossless_consumer_gets_everything_however_slow(runner, image):
    code = "import os\nfor n in range(120): os.write(1, bytes([n]) * 65536)"
    received = bytearray()
    async with runner.stream(RunRequest(command=[*PYTHON, code], image=image), lossless=True) as events:
        async for event in events:
            assert not isinstance(event, Truncated)
            if isinstance(event, Output):
                assert event.offset == len(received)
                received += event.data
                await anyio.sleep(0.01)
        result = await events.result()
    assert received == b"".join(bytes([n]) * 65536 for n in range(120))
    assert result.status == "exited"


@each_image
async def test_a_program_that_ended_did_not_time_out_because_its_lossless_consumer_was_away(runner, image):
    code = "import os\nfor n in range(40): os.write(1, bytes([n]) * 65536)"
    request = RunRequest(command=[*PYTHON, code], image=image, limits=Limits(wall_time=1))
    received = 0
    async with runner.stream(request, lossless=True) as events:
        async for event in events:
            if isinstance(event, Output):
                await anyio.sleep(4 if not received else 0)  # longer than the host waits for the agent
                received += len(event.data)
        result = await events.result()
    assert received == result.usage.stdout_bytes
    if image is None:  # the clock of the other runs on while its pipe is full, and says so
        assert result.status == "timed_out" or received == 40 * 65536
    assert result.reason == ""


@each_image
async def test_the_deadline_ends_a_run_whose_lossless_consumer_takes_nothing(runner, live, image):
    request = RunRequest(command=["yes"], image=image, limits=Limits(wall_time=1))
    async with runner.stream(request, lossless=True) as stream:
        taken = 0
        async for event in stream:
            if isinstance(event, Output):
                taken += len(event.data)
                await anyio.sleep(1.5 if taken < 2 * MIB else 0)
        result = await stream.result()
    assert result.status == "timed_out"
    assert taken == result.usage.stdout_bytes
    with anyio.fail_after(60):  # in the background, as the program was over
        while live():
            await anyio.lowlevel.checkpoint()


@each_image
async def test_ten_mebibytes_go_in_and_come_out(runner, image):
    data = bytes(range(256)) * (10 * MIB // 256)
    request = RunRequest(command=["cat"], stdin=data, image=image, limits=Limits(capture="10m"))
    result = await runner.run(request)
    assert result.captured["stdout"].head + result.captured["stdout"].tail == data


@each_image
async def test_input_that_is_not_read_blocks_nothing(runner, image):
    result = await runner.run(RunRequest(command=["true"], stdin=bytes(10 * MIB), image=image))
    assert result.ok


@each_image
async def test_no_input_is_an_end_of_file(runner, image):
    assert (await runner.run(RunRequest(command=["cat"], image=image))).ok


async def test_files_arrive_with_what_they_hold(runner):
    files = [InputFile("a/b.txt", b"deep"), InputFile("run.sh", b"#!/bin/sh\ncat a/b.txt\n", 0o755)]
    assert (await runner.run(RunRequest(command=["./run.sh"], files=files))).stdout == "deep"
