"""What a kernel writes to PID 1, as hostile as the code that it runs."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pid1_parts import Broken, Parts

from sandbox_runner.agent import protocol


def fed(pid1: Parts, stream: bytes, *, job: int = 1, size: int = 1 << 16) -> tuple[bytes, int]:
    """The displays, and the code of the job that has ended, or -1. Raises Broken."""
    answer = pid1.call("m", job.to_bytes(4, "big") + size.to_bytes(4, "big") + stream)
    pieces, _, code = answer.rpartition(b"\n")
    return pieces, int(code)


def show(data: bytes, job: int = 1) -> bytes:
    return b"show %d %d\n" % (job, len(data)) + data


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.integers(0, 255), st.integers(1, 70))
def test_displays_and_the_end_arrive_however_they_are_cut(pid1, displays, code, size):
    stream = b"".join(map(show, displays)) + b"done 1 %d\n" % code
    assert fed(pid1, stream, size=size) == (b"".join(each + b"\n" for each in displays), code)


@given(
    st.binary(max_size=300) | st.text("showdne 0123456789\n", max_size=300).map(str.encode),
    st.integers(1, 50),
)
def test_whatever_is_written_is_taken_or_refused(pid1, stream, size):
    with suppress(Broken):
        assert len(fed(pid1, stream, size=size)[0]) <= len(stream) * 2


@pytest.mark.parametrize(
    "stream",
    [
        b"x" * 100,
        b"\n",
        b"done 1\n",
        b"done 1 256\n",
        b"done 1 -1\n",
        b"done 2 0\n",
        b"done 0 0\n",
        b"done 1 0 0\n",
        b"done 1 0\ndone 1 0\n",
        b"done 1 0\nshow 1 1\nx",
        b"done 1 \xd9\xa1\n",
        b"show 2 1\nx",
        b"show 1 99999999999\n",
        b"show 1 %d\n" % (protocol.MAX_RETURNED + 1),
        b"shew 1 1\nx",
        b"done  1 0\n",
        b"done 1 0\r\n",
    ],
)
def test_what_is_no_message_of_the_running_job_is_refused(pid1, stream):
    with pytest.raises(Broken):
        fed(pid1, stream)


def test_what_is_shown_too_late_or_too_much_is_dropped(pid1):
    assert fed(pid1, show(b"late", job=1) + show(b"now", job=2) + b"done 2 0\n", job=2) == (b"now\n", 0)
    half = bytes(protocol.MAX_RETURNED // 2)
    assert fed(pid1, show(half) + show(half) + show(b"small") + b"done 1 0\n") == (half + b"\nsmall\n", 0)
