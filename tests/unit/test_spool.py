"""What a server keeps of its runs' output: exact, and within one bound for all."""

import resource
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_runner.events import Artifact
from sandbox_runner.spool import Spool

KIB = 1 << 10


def recorded(spool, size, *, finished=True):
    record = spool.record()
    record.append("stdout", b"x" * size)
    if finished:
        record.finish()
    return record


@given(
    st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=300)), max_size=30),
    st.integers(0, 4000),
    st.integers(1, 4000),
)
def test_any_range_of_what_was_appended_is_read(pieces, offset, size):
    record = Spool(1 << 20).record()
    for stream, data in pieces:
        record.append(stream, data)
    for stream in ("stdout", "stderr"):
        whole = b"".join(data for each, data in pieces if each == stream)
        assert record.read(stream, offset=offset, size=size) == whole[offset : offset + size]
        assert record.total(stream) == record.kept(stream) == len(whole)
    record.discard()


def test_reading_between_appends_disturbs_nothing():
    record = Spool(1 << 20).record()
    for number in range(300):  # well beyond what stays in memory
        record.append("stdout", bytes([number % 256]) * KIB)
        assert record.read("stdout", offset=0, size=2) == b"\0\0"
    whole = b"".join(bytes([number % 256]) * KIB for number in range(300))
    assert record.read("stdout", offset=0, size=1 << 20) == whole
    record.discard()


def test_the_record_that_finished_first_makes_room():
    spool = Spool(100 * KIB)
    first, second = recorded(spool, 40 * KIB), recorded(spool, 40 * KIB)
    third = recorded(spool, 40 * KIB)
    assert [each.discarded for each in (first, second, third)] == [True, False, False]
    assert first.total("stdout") == 40 * KIB
    assert first.kept("stdout") == 0
    assert first.read("stdout", offset=0, size=9) == b""


def test_a_record_that_is_not_finished_is_not_discarded_for_others():
    spool = Spool(100 * KIB)
    running = recorded(spool, 80 * KIB, finished=False)
    late = recorded(spool, 40 * KIB)
    assert not running.discarded
    assert (late.kept("stdout"), late.total("stdout")) == (0, 40 * KIB)


def test_what_is_kept_has_no_hole():
    """After a piece that found no room, a smaller one that would fit is not kept either."""
    spool = Spool(10 * KIB)
    record = spool.record()
    for size in (8 * KIB, 4 * KIB, KIB):
        record.append("stdout", bytes([size >> 10]) * size)
    assert (record.kept("stdout"), record.total("stdout")) == (8 * KIB, 13 * KIB)
    assert record.read("stdout", offset=8 * KIB, size=KIB) == b""


def test_discarding_twice_gives_back_once():
    spool = Spool(10 * KIB)
    record = recorded(spool, 10 * KIB)
    record.discard()
    record.discard()
    assert recorded(spool, 10 * KIB).kept("stdout") == 10 * KIB
    assert recorded(spool, 10 * KIB).kept("stdout") == 10 * KIB


def test_files_count_and_go_with_their_record():
    spool = Spool(10 * KIB)
    record = spool.record()
    record.attach((Artifact("a.png", b"x" * 8 * KIB), Artifact("b.png", b"x" * 8 * KIB)))
    assert [artifact.path for artifact in record.attached] == ["a.png"]
    record.finish()
    recorded(spool, 10 * KIB)
    assert record.attached == ()


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3000), st.booleans()), max_size=60))
def test_no_order_of_things_exceeds_the_bound(steps):
    spool = Spool(8000)
    records = [spool.record() for _ in range(10)]
    finished = set()
    for number, size, finish in steps:
        if number not in finished:
            records[number].append("stdout", b"x" * size)
        if finish:
            records[number].finish()
            finished.add(number)
        assert sum(record.size for record in records) <= 8000
    for record in records:
        record.discard()
    assert spool.make_room(8000)


@contextmanager
def files_of_at_most(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_ends_the_keeping_and_not_the_run():
    record = Spool(1 << 20).record()
    with files_of_at_most(100 * KIB):
        for number in range(200):
            record.append("stdout", bytes([number]) * KIB)
        read = record.read("stdout", offset=0, size=1 << 20)
    assert record.total("stdout") == 200 * KIB
    assert 64 * KIB <= record.kept("stdout") <= 100 * KIB
    assert read == b"".join(bytes([number]) * KIB for number in range(200))[: record.kept("stdout")]
    record.discard()


@pytest.mark.parametrize("size", [0, 1])
def test_nothing_is_kept_of_more_than_there_may_be(size):
    record = recorded(Spool(size), 2)
    assert (record.kept("stdout"), record.total("stdout")) == (0, 2)
