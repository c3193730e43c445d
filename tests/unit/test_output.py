"""Output is kept, counted and decoded in bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from sandbox_runner.events import Output, Truncated
from sandbox_runner.output import Capture, Pending

chunks = st.lists(st.binary(max_size=40), max_size=30)


@given(chunks=chunks, cap=st.integers(1, 64))
def test_a_capture_keeps_head_and_tail_and_counts_every_byte(chunks, cap):
    capture, whole = Capture(cap), b"".join(chunks)
    for chunk in chunks:
        capture.add(chunk)
    kept = capture.captured()
    assert kept.total == len(whole)
    assert len(kept.head) + len(kept.tail) == min(cap, len(whole))
    assert whole.startswith(kept.head)
    assert whole.endswith(kept.tail)
    assert kept.cut == max(0, len(whole) - cap)


def test_a_capture_says_how_many_bytes_were_cut():
    capture = Capture(10)
    capture.add(b"a" * 100)
    assert capture.captured().text == "aaaaa\n[… 90 bytes cut …]\naaaaa"


def test_five_million_single_bytes_do_not_cost_an_object_each():
    capture = Capture(1 << 20)
    for _ in range(200_000):
        capture.add(b"x")
    assert capture.captured().total == 200_000
    assert len(capture._tail) < 1000


@given(chunks=chunks)
def test_what_waits_is_delivered_in_order_with_offsets(chunks):
    pending, offset = Pending(1 << 20), 0
    for chunk in chunks:
        pending.add("stdout", chunk, offset=offset)
        offset += len(chunk)
    events = pending.take()
    assert b"".join(event.data for event in events) == b"".join(chunks)
    assert all(isinstance(event, Output) for event in events)


@given(chunks=chunks)
def test_text_is_decoded_across_pieces(chunks):
    pending, offset, text = Pending(1 << 20), 0, ""
    for chunk in chunks:
        pending.add("stdout", chunk, offset=offset)
        offset += len(chunk)
        text += "".join(event.text for event in pending.take())
    text += "".join(event.text for event in pending.finish())
    assert text == b"".join(chunks).decode(errors="replace")


def test_what_a_slow_consumer_missed_is_counted():
    pending = Pending(4)
    for offset in range(0, 10, 2):
        pending.add("stdout", b"ab", offset=offset)
    assert pending.take() == [Output("stdout", b"abab", 0, "abab"), Truncated("stdout", 4, 6)]
    pending.add("stdout", b"cd", offset=10)
    assert pending.take() == [Output("stdout", b"cd", 10, "cd")]
