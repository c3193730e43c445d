"""The part of the Engine contract about jobs, their limits and their end, on every engine there is."""

import json
from collections.abc import AsyncIterator

import anyio
import pytest
from containers import printed, program, ran, started
from contract import promise
from programs import (
    BOTH,
    BYTES,
    CAT,
    COMPUTES,
    EXIT_3,
    FILES,
    GIVEN_BACK,
    HOGS,
    MANY_BYTES,
    MIB,
    NOTHING,
    PRINTS,
    SLEEP,
    TERMINATED,
    WORDS,
)

from sandbox_runner import InputFile, Limits, RunRequest
from sandbox_runner.events import Artifact, Event, Started

pytestmark = pytest.mark.anyio
PATIENCE = 60  # seconds for what must happen; nothing waits that long where it does


@promise("job.started")
async def test_started_comes_first_and_once(bench):
    events: list[Event] = []

    async def emit(event: Event) -> None:
        events.append(event)

    async with started(bench, program(BOTH)) as (container, admission):
        await container.execute(admission.job, emit)
    run_id = admission.spec.labels["org.sandbox-runner.run"]
    assert events[0] == Started(run_id)
    assert [event for event in events if isinstance(event, Started)] == events[:1]


@promise("job.output")
async def test_both_streams_arrive_whole_and_apart(bench):
    _, events = await ran(bench, program(BOTH))
    assert (printed(events, "stdout"), printed(events, "stderr")) == (b"outmore", b"err")
    _, events = await ran(bench, program(MANY_BYTES))
    assert printed(events, "stdout") == BYTES


@promise("job.exit_code")
async def test_an_exit_code_is_told(bench):
    exited, _ = await ran(bench, program(EXIT_3))
    assert (exited.status, exited.exit_code, exited.signal, exited.reason) == ("exited", 3, None, "")


@promise("job.signal")
async def test_a_signal_is_told(bench):
    exited, _ = await ran(bench, program(TERMINATED))
    assert (exited.status, exited.exit_code, exited.signal, exited.reason) == ("signaled", None, 15, "")


@promise("job.words")
async def test_arguments_environment_and_folder_are_the_jobs(bench):
    _, events = await ran(bench, program(WORDS, env={"WORD": "hi"}))
    assert printed(events, "stdout") == b"a word hi /workspace\n"


@promise("job.stdin")
async def test_stdin_is_read_whole_whatever_it_is_given_as(bench):
    async def in_pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    for stdin, read in ((b"\0\xff", b"\0\xff"), ("\u20ac", "\u20ac".encode()), (in_pieces(), b"one two")):
        exited, events = await ran(bench, program(CAT, stdin=stdin))
        assert (exited.exit_code, printed(events, "stdout")) == (0, read)


@promise("job.files")
async def test_files_are_in_the_folder(bench):
    files = [InputFile("a/b.txt", b"deep "), InputFile("c", b"flat")]
    _, events = await ran(bench, program(FILES, files=files))
    assert printed(events, "stdout") == b"deep flat"


@promise("job.artifacts")
async def test_the_files_that_were_asked_for_come_back(bench):
    _, events = await ran(bench, program(GIVEN_BACK, artifacts=["*.txt"]))
    assert [event for event in events if isinstance(event, Artifact)] == [Artifact("a.txt", b"one")]
    _, events = await ran(bench, program(GIVEN_BACK))
    assert not any(isinstance(event, Artifact) for event in events)


@promise("job.out")
async def test_the_files_go_to_the_folder_of_the_job(bench, tmp_path):
    _, events = await ran(bench, program(GIVEN_BACK, artifacts=["*.txt"], out=tmp_path))
    [artifact] = [event for event in events if isinstance(event, Artifact)]
    assert (artifact.file, artifact.content, artifact.size) == (tmp_path / "a.txt", None, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert artifact.data == b"one"


@promise("job.value")
async def test_a_value_comes_back(bench):
    code = "def execute(input):\n    return {'doubled': input * 2}"
    exited, _ = await ran(bench, RunRequest(language="python", code=code, value=b"21"))
    assert json.loads(exited.value) == {"doubled": 42}
    exited, _ = await ran(bench, program(NOTHING))
    assert exited.value is None


@promise("job.usage")
async def test_usage_counts_time_and_bytes(bench):
    exited, _ = await ran(bench, program(BOTH))
    assert exited.usage.wall_time >= 0
    assert (exited.usage.stdout_bytes, exited.usage.stderr_bytes) == (7, 3)


@promise("job.patient")
async def test_nothing_is_lost_while_the_consumer_takes_nothing(bench):
    taken: list[Event] = []

    async def emit(event: Event) -> None:
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        taken.append(event)

    async with started(bench, program(PRINTS)) as (container, admission):
        exited = await container.execute(admission.job, emit)
    assert printed(taken, "stdout") == bytes(3_000_000)
    assert exited.usage.stdout_bytes == 3_000_000


@promise("job.broken")
async def test_a_container_that_dies_under_its_program_is_a_result(bench):
    async with started(bench, program(SLEEP)) as (container, admission):

        async def emit(_event: Event) -> None:
            bench.kill(container.id)

        with anyio.fail_after(PATIENCE):
            exited = await container.execute(admission.job, emit)
    assert (exited.status, exited.signal, exited.reason) == ("signaled", 9, "sandbox_broken")


@promise("limit.wall_time")
async def test_a_program_that_takes_too_long_times_out(bench):
    exited, _ = await ran(bench, program(SLEEP, limits=Limits(wall_time=0.3)))
    assert (exited.status, exited.exit_code, exited.signal) == ("timed_out", None, None)
    assert exited.limits_hit == {"wall_time": 1}


@promise("limit.cpu_time")
async def test_a_program_that_computes_too_long_is_ended(bench):
    exited, _ = await ran(bench, program(COMPUTES, limits=Limits(cpu_time=0.3)))
    assert (exited.status, exited.limits_hit) == ("cpu_limit", {"cpu_time": 1})


@promise("limit.memory")
async def test_a_program_that_needs_too_much_memory_is_ended(bench):
    exited, _ = await ran(bench, program(HOGS, limits=Limits(memory="64m")))
    assert exited.status == "out_of_memory"
    assert exited.limits_hit["memory"] >= 1
    assert (exited.usage.peak_memory or 0) <= 64 * MIB


@promise("limit.output")
async def test_a_program_that_prints_too_much_is_ended(bench):
    exited, events = await ran(bench, program(PRINTS, limits=Limits(output="1m")))
    assert (exited.status, exited.limits_hit) == ("output_limit", {"output": 1})
    assert len(printed(events, "stdout")) == exited.usage.stdout_bytes == MIB


@promise("cancel.ends")
async def test_a_program_is_cancelled(bench):
    async with started(bench, program(SLEEP)) as (container, admission):
        async with anyio.create_task_group() as tasks:

            async def emit(_event: Event) -> None:
                tasks.start_soon(container.cancel)

            with anyio.fail_after(PATIENCE):
                exited = await container.execute(admission.job, emit)
            tasks.cancel_scope.cancel()
    assert (exited.status, exited.exit_code, exited.signal) == ("cancelled", None, None)


@promise("cancel.harmless")
async def test_cancelling_twice_does_no_harm(bench):
    async with started(bench, program(SLEEP)) as (container, admission):
        async with anyio.create_task_group() as tasks:

            async def emit(_event: Event) -> None:
                tasks.start_soon(container.cancel)
                tasks.start_soon(container.cancel)

            exited = await container.execute(admission.job, emit)
            tasks.start_soon(container.cancel)
            tasks.cancel_scope.cancel()
    assert exited.status == "cancelled"
