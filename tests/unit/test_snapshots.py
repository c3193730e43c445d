"""Snapshots as they are stored: whose, how many bytes, for how long, and whether they are still whole."""

import errno
from pathlib import Path

import pytest

from sandbox_runner.errors import InvalidRequest, LimitExceeded, QuotaExceeded
from sandbox_runner.request import Principal
from sandbox_runner.sessions.snapshots import Snapshots

pytestmark = pytest.mark.anyio

ALICE, BOB = Principal("alice"), Principal("bob")


def store(folder, *, most=100, room=250, ttl=1000.0):
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
        await store(tmp_path).keep(ALICE, pieces(b"x" * 60, b"x" * 60))

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


async def test_the_owners_oldest_make_room_and_nobody_elses(tmp_path):
    first = await store(tmp_path).keep(ALICE, pieces(b"1" * 100))
    second = await store(tmp_path).keep(ALICE, pieces(b"2" * 100))
    third = await store(tmp_path).keep(ALICE, pieces(b"3" * 100))
    with pytest.raises(InvalidRequest):
        await content(store(tmp_path), first)
    with pytest.raises(QuotaExceeded, match="no room"):
        await store(tmp_path).keep(BOB, pieces(b"4" * 100))
    assert await content(store(tmp_path), second) == b"2" * 100
    assert await content(store(tmp_path), third) == b"3" * 100
    assert len(list(tmp_path.iterdir())) == 4


async def test_one_is_kept_for_its_time(tmp_path):
    kept = await store(tmp_path).keep(ALICE, pieces(b"x"))
    with pytest.raises(InvalidRequest, match="no longer kept"):
        await content(store(tmp_path, ttl=-1), kept)
    assert list(tmp_path.iterdir()) == []
