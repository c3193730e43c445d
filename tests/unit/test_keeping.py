"""What is kept goes after its pause, or as soon as somebody hurries it, and always with its keeper."""

from contextlib import asynccontextmanager

import anyio
import pytest

from sandbox_runner.keeping import open_keeper

pytestmark = pytest.mark.anyio
LONG = 3600  # seconds: no test waits for it


@asynccontextmanager
async def held(log: list[str]):
    try:
        yield "value"
    finally:
        log.append("gone")


async def test_the_pause_lasts_until_somebody_hurries():
    log: list[str] = []
    async with open_keeper() as keeper:
        kept = await keeper.keep(held(log))
        hurry = anyio.Event()
        kept.release(pause=LONG, hurry=hurry)
        await anyio.wait_all_tasks_blocked()
        assert (kept.value, log) == ("value", [])
        hurry.set()
        await kept.gone()
        assert log == ["gone"]


async def test_without_a_pause_it_goes_at_once():
    log: list[str] = []
    async with open_keeper() as keeper:
        kept = await keeper.keep(held(log))
        kept.release()
        await kept.gone()
    assert log == ["gone"]


async def test_the_keepers_end_waits_for_no_pause():
    log: list[str] = []
    with anyio.fail_after(10):
        async with open_keeper() as keeper:
            kept = await keeper.keep(held(log))
            kept.release(pause=LONG, hurry=anyio.Event())
    assert log == ["gone"]
