"""Snapshots as they are stored: whose, how many bytes, for how long, and whether they are still whole."""

import errno
from pathlib import Path

import anyio
import pytest

from sandbox_runner.errors import InvalidRequest, LimitExceeded, QuotaExceeded
from sandbox_runner.request import Principal
from sandbox_runner.sessions.snapshots import Snapshots

pytestmark = pytest.mark.anyio

KIB = 1 << 10

ALICE, BOB = Principal("alice"), Principal("bob")


def store(folder, *, most=100 * KIB, room=250 * KIB, ttl=1000.0):
    return Snapshots(folder, most=most, room=room, ttl=ttl)


async def pieces(*data):
    for piece in data:
        yield piece


async def content(snapshots, snapshot_id, principal=ALICE):
    return b"".join([piece async for piece in snapshots.read(snapshot_id, principal)])


async def test_a_snapshot_is_read_as_it_was_kept_by_another_process_too(tmp_path):
    kept = await store(tmp_path).keep(ALICE, pieces(b"some", b" bytes"))
    assert await content(store(tmp_path), kept) == b"some bytes"
    assert [known.size for known in store(tmp_path).of(ALICE)] == [10]


async def test_an_unknown_id_and_anothers_are_answered_alike(tmp_path):
    kept = await store(tmp_path).keep(ALICE, pieces(b"x"))
    words = set()
    for snapshot_id in (kept, "y" * len(kept), "../../etc/passwd", "\ud800", ""):
        with pytest.raises(InvalidRequest) as error:
            await content(store(tmp_path), snapshot_id, BOB)
        words.add(str(error.value).replace(repr(snapshot_id), "…"))
    assert len(words) == 1
    assert store(tmp_path).of(BOB) == []


async def test_neither_files_nor_folder_are_for_others_and_no_name_tells_an_id(tmp_path):
    folder = tmp_path / "snapshots"
    kept = await store(folder).keep(ALICE, pieces(b"x"))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path for path in folder.iterdir() if kept in path.name or kept in path.read_text()] == []


async def test_one_that_was_damaged_is_refused(tmp_path):
    kept = await store(tmp_path).keep(ALICE, pieces(b"some bytes"))
    next(tmp_path.glob("*.tar.gz")).write_bytes(b"SOME bytes")
    with pytest.raises(InvalidRequest, match="damaged"):
        await content(store(tmp_path), kept)


async def test_one_that_is_too_large_or_breaks_off_leaves_nothing(tmp_path):
    with pytest.raises(LimitExceeded, match="max_snapshot"):
        await store(tmp_path).keep(ALICE, pieces(b"x" * 60 * KIB, b"x" * 60 * KIB))

    async def broken():
        yield b"x"
        raise InvalidRequest("no")

    with pytest.raises(InvalidRequest):
        await store(tmp_path).keep(ALICE, broken())
    assert list(tmp_path.iterdir()) == []


async def test_one_that_cannot_be_recorded_leaves_nothing(tmp_path, monkeypatch):
    def full(file, text):
        file.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        await store(tmp_path).keep(ALICE, pieces(b"x"))
    assert list(tmp_path.iterdir()) == []


async def test_the_oldest_of_whoever_has_the_most_make_room(tmp_path):
    """The attack: one principal fills the room, so that no other can keep any."""
    first, second, third = [
        await store(tmp_path).keep(ALICE, pieces(n * 100 * KIB)) for n in (b"1", b"2", b"3")
    ]
    with pytest.raises(InvalidRequest):
        await content(store(tmp_path), first)
    assert await content(store(tmp_path), second) == b"2" * 100 * KIB
    of_bob = [await store(tmp_path).keep(BOB, pieces(n * 100 * KIB)) for n in (b"4", b"5")]
    assert await content(store(tmp_path), of_bob[1], BOB) == b"5" * 100 * KIB
    assert await content(store(tmp_path), third) == b"3" * 100 * KIB  # no more than Bob's is nobody's to take
    with pytest.raises(InvalidRequest):
        await content(store(tmp_path), of_bob[0], BOB)
    assert len(list(tmp_path.iterdir())) == 4


async def test_tiny_ones_are_bounded_in_number_too(tmp_path):
    for _ in range(40):
        await store(tmp_path).keep(ALICE, pieces(b"x"))
    assert len(list(tmp_path.glob("*.json"))) == 250 // 16


async def test_those_that_arrive_at_once_have_no_more_room_than_those_that_are_kept(tmp_path):
    """The attack: many sessions are packed at once, and none of them ends."""
    snapshots = store(tmp_path)
    arrived = [anyio.Event() for _ in range(2)]

    async def endless(event):
        yield b"x" * 100 * KIB
        event.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        for event in arrived:
            tasks.start_soon(snapshots.keep, ALICE, endless(event))
        with anyio.fail_after(60):
            for event in arrived:
                await event.wait()
        with pytest.raises(QuotaExceeded, match="try again later"):
            await snapshots.keep(BOB, pieces(b"x" * 100 * KIB))
        tasks.cancel_scope.cancel()
    assert list(tmp_path.iterdir()) == []
    await snapshots.keep(BOB, pieces(b"x" * 100 * KIB))


async def test_one_is_kept_for_its_time(tmp_path):
    kept = await store(tmp_path).keep(ALICE, pieces(b"x"))
    with pytest.raises(InvalidRequest, match="no longer kept"):
        await content(store(tmp_path, ttl=-1), kept)
    assert list(tmp_path.iterdir()) == []
