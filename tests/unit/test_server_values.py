"""Values of functions: what JSON can say goes both ways exactly, what clients cannot read is told."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runner.errors import InvalidRequest
from sandbox_runner.server.values import MAX_DEPTH, MAX_VALUE, decode_value, encode_value

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def nested(depth, *, key=False):
    value = 1
    for _ in range(depth):
        value = {"a": value} if key else [value]
    return value


@given(JSON)
def test_a_value_goes_there_and_back(value):
    returned = decode_value(encode_value(value))
    assert returned.problem is None
    assert returned.value == value
    assert json.dumps(returned.value) == json.dumps(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")], "\ud800", {"\udfff": 1}])
def test_what_is_no_json_is_not_sent(value):
    with pytest.raises(InvalidRequest, match="is not JSON"):
        encode_value(value)


def test_a_value_has_a_size():
    assert len(encode_value("x" * (MAX_VALUE - 2))) == MAX_VALUE
    with pytest.raises(InvalidRequest, match=f"{MAX_VALUE + 1} bytes of JSON, above {MAX_VALUE}"):
        encode_value("x" * (MAX_VALUE - 1))
    with pytest.raises(InvalidRequest):
        encode_value("ü" * (MAX_VALUE // 2))


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"NaN", b"Infinity", b"1e999", b"[-1e999]", b'"\\ud800"', b"\xff", b"1 2", b"'x'",
     b"9" * 5000, b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000],
    ids=lambda data: repr(data[:12]),
)  # fmt: skip
def test_what_a_program_forges_is_a_problem_and_no_error(data):
    assert decode_value(data).problem is not None
    assert decode_value(data).value is None


@pytest.mark.parametrize("key", [False, True])
def test_a_value_has_a_depth(key):
    allowed = nested(MAX_DEPTH, key=key)
    assert decode_value(json.dumps(allowed).encode()).value == allowed
    problem = decode_value(json.dumps(nested(MAX_DEPTH + 1, key=key)).encode()).problem
    assert f"more than {MAX_DEPTH} levels" in problem
    assert decode_value(json.dumps([nested(MAX_DEPTH, key=key), 1]).encode()).problem
