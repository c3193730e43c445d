"""The part of the Engine contract about images and containers, on every engine there is."""

import io
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest
from containers import ignore, printed, program, started
from contract import promise
from engines import Bench
from programs import (
    CAT,
    HOGS,
    LAYERED,
    MIB,
    NOTHING,
    SLEEP,
)

from sandbox_runner.definitions import PACKAGES
from sandbox_runner.errors import ControlNotEnforced, ImageNotFound, StartFailed
from sandbox_runner.events import Event
from sandbox_runner.packages.layer import LayerWriter
from sandbox_runner.policy import admit
from sandbox_runner.request import LOCAL_USER
from sandbox_runner.spec import Image

pytestmark = pytest.mark.anyio
PATIENCE = 60  # seconds for what must happen; nothing waits that long where it does


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
