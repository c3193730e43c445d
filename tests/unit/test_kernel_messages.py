"""What a kernel writes to PID 1, as hostile as the code that it runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runner.agent import protocol
from sandbox_runner.agent.kernel import Messages
from sandbox_runner.agent.protocol import ProtocolError


def fed(stream: bytes, *, job: int = 1, size: int = 1 << 16) -> tuple[bytes, int]:
    messages = Messages()
    messages.begin(job)
    pieces = b""
    for start in range(0, len(stream), size):
        pieces += b"".join(map(bytes, messages.feed(stream[start : start + size])))
    return pieces, messages.code


def show(data: bytes, job: int = 1) -> bytes:
    return b"show %d %d\n" % (job, len(data)) + data


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.integers(0, 255), st.integers(1, 70))
def test_displays_and_the_end_arrive_however_they_are_cut(displays, code, size):
    stream = b"".join(map(show, displays)) + b"done 1 %d\n" % code
    assert fed(stream, size=size) == (b"".join(each + b"\n" for each in displays), code)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_nothing_but_protocol_errors_is_raised_and_nothing_grows(stream, size):
    messages = Messages()
    messages.begin(1)
    try:
        for start in range(0, len(stream), size):
            messages.feed(stream[start : start + size])
            assert len(messages._line) <= 40
    except ProtocolError:
        pass


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
def test_what_is_no_message_of_the_running_job_is_refused(stream):
    with pytest.raises(ProtocolError):
        fed(stream)


def test_what_is_shown_too_late_or_too_much_is_dropped():
    assert fed(show(b"late", job=1) + show(b"now", job=2) + b"done 2 0\n", job=2) == (b"now\n", 0)
    half = bytes(protocol.MAX_RETURNED // 2)
    assert fed(show(half) + show(half) + show(b"small") + b"done 1 0\n") == (half + b"\nsmall\n", 0)


def test_the_rest_of_a_display_that_was_cut_by_the_end_of_its_job_is_dropped():
    messages = Messages()
    messages.begin(1)
    assert messages.feed(b"show 1 10\nhalf") == [b"half"]
    messages.begin(2)
    assert messages.feed(b"itslf6" + show(b"next", job=2)) == [b"next", b"\n"]
