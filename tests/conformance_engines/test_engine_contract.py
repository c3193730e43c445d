"""The Engine contract, promise by promise, on every engine there is."""

import io
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest
from contract import promise
from engines import Bench
from programs import (
    BOTH,
    BYTES,
    CAT,
    COMPUTES,
    EXIT_3,
    FILES,
    GIVEN_BACK,
    HOGS,
    LAYERED,
    MANY_BYTES,
    MIB,
    NOTHING,
    PRINTS,
    SLEEP,
    TERMINATED,
    WORDS,
)

from sandbox_runner import InputFile, Limits, RunRequest
from sandbox_runner.definitions import PACKAGES
from sandbox_runner.engines import Container
from sandbox_runner.errors import ControlNotEnforced, ImageNotFound, StartFailed
from sandbox_runner.events import Artifact, Event, Exited, Output, Started
from sandbox_runner.languages import find_language
from sandbox_runner.packages.layer import LayerWriter
from sandbox_runner.policy import admit
from sandbox_runner.request import LOCAL_USER
from sandbox_runner.spec import Admission, Image

pytestmark = pytest.mark.anyio
PATIENCE = 60  # seconds for what must happen; nothing waits that long where it does


@asynccontextmanager
async def admitted(bench: Bench, request: RunRequest) -> AsyncIterator[Admission]:
    language = find_language(request.language) if request.language else None
    image = await bench.engine.image(language.image if language else "shell")
    with bench.placements.lease() as placement:
        yield admit(
            bench.config.policy(), request, LOCAL_USER, language=language, image=image, placement=placement
        )


@asynccontextmanager
async def started(bench: Bench, request: RunRequest) -> AsyncIterator[tuple[Container, Admission]]:
    async with admitted(bench, request) as admission, bench.engine.create(admission.spec) as container:
        yield container, admission


def program(argv: tuple[str, ...], **request) -> RunRequest:
    return RunRequest(command=argv, **request)


async def ran(bench: Bench, request: RunRequest) -> tuple[Exited, list[Event]]:
    events: list[Event] = []

    async def emit(event: Event) -> None:
        events.append(event)

    async with started(bench, request) as (container, admission):
        return await container.execute(admission.job, emit), events


async def ignore(_event: Event) -> None:
    pass


def printed(events: list[Event], stream: str) -> bytes:
    """The stream's bytes; their offsets must say the same."""
    pieces = [event for event in events if isinstance(event, Output) and event.stream == stream]
    data = b""
    for piece in pieces:
        assert piece.offset == len(data)
        data += piece.data
    return data


@promise("image.found")
async def test_a_name_stands_for_an_image_of_which_containers_can_be_made(bench):
    image = await bench.engine.image("shell")
    assert (image.name, image.agent) == ("shell", True)
    assert await bench.engine.image("shell") == image
    async with started(bench, program(NOTHING)) as (_, admission):
        assert admission.spec.image == image


@promise("image.missing")
async def test_a_name_of_nothing_says_what_to_do(bench):
    with pytest.raises(ImageNotFound, match=r"no-such-image.*; "):
        await bench.engine.image("no-such-image:at-all")


@promise("image.now")
async def test_a_name_stands_for_what_it_means_now(bench):
    bench.rename("shell", "sandbox-runner-contract:latest")
    before = await bench.engine.image("sandbox-runner-contract:latest")
    bench.rename("python", "sandbox-runner-contract:latest")
    after = await bench.engine.image("sandbox-runner-contract:latest")
    assert (before.id, after.id) == (
        (await bench.engine.image("shell")).id,
        (await bench.engine.image("python")).id,
    )


@asynccontextmanager
async def derived(bench: Bench) -> AsyncIterator[tuple[Image, str]]:
    """An image, and the name of another one that has a file more."""
    layer = io.BytesIO()
    writer = LayerWriter(
        layer, folder="usr/lib/sandbox-runner/packages", most=100, leaves_out=lambda _path: False
    )
    writer.begin(b"told", executable=False, size=12)
    writer.write(b"of the layer")
    writer.finish()
    layer.seek(0)
    base, name = await bench.engine.image("shell"), f"{PACKAGES}:{secrets.token_hex(32)}"
    await bench.engine.derive(base, name, layer)
    try:
        yield base, name
    finally:
        await bench.engine.discard(name)


@promise("image.derived")
async def test_a_derived_image_is_another_one_with_the_files_of_its_layer(bench):
    events: list[Event] = []

    async def emit(event: Event) -> None:
        events.append(event)

    async with derived(bench) as (base, name):
        image = await bench.engine.image(name)
        assert image.id != base.id
        assert await bench.engine.image("shell") == base
        with bench.placements.lease() as placement:
            admission = admit(
                bench.config.policy(), program(LAYERED), LOCAL_USER,
                language=None, image=image, placement=placement,
            )  # fmt: skip
            async with bench.engine.create(admission.spec) as container:
                assert (await container.execute(admission.job, emit)).exit_code == 0
    assert printed(events, "stdout") == b"of the layer"


@promise("image.discarded")
async def test_a_derived_image_that_is_discarded_is_gone_and_its_base_is_not(bench):
    async with derived(bench) as (base, name):
        await bench.engine.discard(name)
        with pytest.raises(ImageNotFound):
            await bench.engine.image(name)
    assert await bench.engine.image("shell") == base


@promise("facts.size")
async def test_there_is_something_to_share_out(bench):
    facts = await bench.engine.facts()
    assert facts.cpus >= 1
    assert facts.memory > 64 * MIB


@promise("create.refused")
async def test_what_cannot_be_made_is_refused_and_leaves_nothing(bench):
    bench.unusable()
    with pytest.raises((StartFailed, ControlNotEnforced)):
        async with started(bench, program(NOTHING)):
            pass
    assert bench.everything() == []


@promise("create.apart")
async def test_each_container_is_another_one(bench):
    async with started(bench, program(NOTHING)) as (one, _), started(bench, program(NOTHING)) as (other, _):
        first = {one.id, other.id}
        assert set(bench.everything()) == first
    async with started(bench, program(NOTHING)) as (third, _):
        assert len(first | {third.id}) == 3


@promise("life.removed")
async def test_the_end_of_the_context_is_the_containers_end(bench):
    async with started(bench, program(NOTHING)) as (container, admission):
        assert bench.exists(container.id)
        await container.execute(admission.job, ignore)
    assert not bench.exists(container.id)


@promise("life.removed.exception")
async def test_an_exception_removes_it_and_arrives_as_it_is(bench):
    with pytest.raises(ZeroDivisionError):
        async with started(bench, program(NOTHING)):
            raise ZeroDivisionError
    assert bench.everything() == []


@promise("life.removed.cancelled")
@pytest.mark.parametrize("moment", [0, 0.01, 0.04, 0.08, 0.16])
async def test_a_cancellation_at_any_moment_removes_it(bench, moment):
    with anyio.move_on_after(moment):
        async with started(bench, program(SLEEP)) as (container, admission):
            await container.execute(admission.job, ignore)
    assert bench.everything() == []


@promise("life.removed.running")
async def test_a_program_that_runs_does_not_keep_it(bench):
    running = anyio.Event()

    async def emit(_event: Event) -> None:
        running.set()

    async with started(bench, program(SLEEP)) as (container, admission), anyio.create_task_group() as tasks:
        tasks.start_soon(container.execute, admission.job, emit)
        await running.wait()
        tasks.cancel_scope.cancel()
    assert bench.everything() == []


@promise("wait.quiet")
async def test_one_that_waits_is_not_lost(bench):
    async with started(bench, program(NOTHING)) as (container, _):
        with anyio.move_on_after(0.3) as watching:
            await container.lost()
        assert watching.cancelled_caught


@promise("wait.lost")
async def test_one_that_dies_is_lost(bench):
    with anyio.fail_after(PATIENCE):
        async with started(bench, program(NOTHING)) as (container, _):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(container.lost)
                await anyio.wait_all_tasks_blocked()
                bench.kill(container.id)
            assert await container.why_lost() == "signaled"


@promise("wait.resumed")
async def test_one_that_was_watched_runs_a_job_like_any_other(bench):
    async with started(bench, program(CAT, stdin=b"hi")) as (container, admission):
        for _ in range(3):
            with anyio.CancelScope() as watching:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(container.lost)
                    await anyio.wait_all_tasks_blocked()
                    watching.cancel()
        events: list[Event] = []

        async def emit(event: Event) -> None:
            events.append(event)

        assert (await container.execute(admission.job, emit)).exit_code == 0
    assert printed(events, "stdout") == b"hi"


@promise("wait.resized")
async def test_one_that_waits_gets_other_limits_or_says_that_it_cannot(bench):
    async with started(bench, program(HOGS)) as (container, admission):
        smaller = replace(admission.job.limits, memory=64 * MIB)
        if "memory" in bench.engine.resizes or bench.config.oci_runtime != "runsc":
            await container.resize(replace(smaller, memory=1024 * MIB))
            await container.resize(smaller)
            assert (await container.execute(admission.job, ignore)).status == "out_of_memory"
        else:
            with pytest.raises(ControlNotEnforced):
                await container.resize(smaller)


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
