"""Docker's stream format is parsed strictly, at any cut."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runner.engines.docker.demux import Demux, DemuxError

pieces = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1, max_size=50)), max_size=10)


@given(pieces=pieces, cut=st.integers(1, 20))
def test_what_was_multiplexed_comes_out_however_it_is_cut(pieces, cut):
    wire = b"".join(struct.pack(">BxxxI", kind, len(data)) + data for kind, data in pieces)
    demux, out = Demux(), {"stdout": b"", "stderr": b""}
    for start in range(0, len(wire), cut):
        for stream, data in demux.feed(wire[start : start + cut]):
            out[stream] += data
    assert out["stdout"] == b"".join(data for kind, data in pieces if kind == 1)
    assert out["stderr"] == b"".join(data for kind, data in pieces if kind == 2)


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_a_demux_error(garbage):
    with contextlib.suppress(DemuxError):
        Demux().feed(garbage)


@pytest.mark.parametrize("header", [b"\x03\0\0\0\0\0\0\1", b"\x01\1\0\0\0\0\0\1", b"\x01\0\0\0\xff\0\0\0"])
def test_a_header_that_cannot_be_is_refused(header):
    with pytest.raises(DemuxError):
        Demux().feed(header)
