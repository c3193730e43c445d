"""What a program displayed is taken where it is that, and as nothing else; no input costs much memory."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runner.agent.protocol import MAX_RETURNED
from sandbox_runner.displays import MAX_DISPLAYS, MAX_FORMS, is_text, parse_displays


def line(data: object, **more: object) -> bytes:
    return json.dumps({"data": data, "metadata": {}, **more}).encode() + b"\n"


def test_displays_come_in_their_order_with_all_their_forms():
    first = {"text/plain": 'a\n"b" \\ é 図', "text/html": "<b>a</b>", "image/png": "iVBORw=="}
    second = {"application/json": '{"a": [1]}', "image/svg+xml": "<svg/>", "text/plain": ""}
    assert parse_displays(line(first) + b"\n" + line(second)) == ((first, second), 0)


def test_metadata_is_not_needed_and_the_last_line_needs_no_end():
    assert parse_displays(b'{"data": {"text/plain": "1"}}') == (({"text/plain": "1"},), 0)


@pytest.mark.parametrize(
    "bad",
    [
        b"{", b"null", b"[]", b"{}", b"\xff", b'"data"', b'{"data": {}}', b'{"data": []}', b'{"data": null}',
        line({"text/plain": 1}), line({"text/plain": None}), line({"text/plain": ["a"]}),
        line({"plain": "a"}),
        line({"Text/plain": "a"}), line({"text/": "a"}), line({"text/a\n": "a"}), line({"text/a b": "a"}),
        line({"image/png": "a"}), line({"image/png": "ab=="})[:-20],
        line({"image/png": "a===" * 2}),
        line({"image/png": "ab c"}), line({"image/png": "aaaa\n"}), line({"text/plain": "a"}, other=1),
        line({f"text/{number}": "a" for number in range(MAX_FORMS + 1)}),
        b'{"data": {"text/plain": "\\ud800"}}', b'{"data": {"text/plain": "a\tb"}}',
        b"[" * 100_000, b'{"data": ' * 900 + b"1" + b"}" * 900,
        b'{"data": {"text/plain": "a"}, "metadata": [' + b"{}," * 5000 + b"1]}",
    ],
    ids=range(29),
)  # fmt: skip
def test_a_line_that_is_no_display_is_left_out_and_counted(bad):
    good = line({"text/plain": "good"})
    assert parse_displays(good + bad.strip() + b"\n" + good) == (({"text/plain": "good"},) * 2, 1)


def test_what_is_too_many_is_left_out_and_counted():
    displays, omitted = parse_displays(line({"text/plain": "a"}) * (MAX_DISPLAYS + 7))
    assert (len(displays), omitted) == (MAX_DISPLAYS, 7)


@pytest.mark.parametrize(
    "pattern", [b"[", b"{", b"\n", b"a\n", b'"', b'"a",', b'\\"', b'{"data":', b'["",'], ids=repr
)
def test_no_input_costs_much_memory(pattern):
    data = b'{"data": {"text/plain": "' + (pattern * (1 + MAX_RETURNED // len(pattern)))[:MAX_RETURNED]
    tracemalloc.start()
    assert parse_displays(data)[0] == ()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 8 * MAX_RETURNED


@given(
    st.binary()
    | st.lists(st.sampled_from([b'{"data":', b"{", b"}", b'"text/plain"', b":", b'"', b"\n", b","])).map(
        b"".join
    )
)
def test_whatever_arrives_is_answered_with_displays_of_text(data):
    for display in parse_displays(data)[0]:
        assert display
        assert all(isinstance(form, str) for form in display.values())


@given(
    st.dictionaries(st.sampled_from(["text/plain", "text/html", "application/json"]), st.text(), min_size=1)
)
def test_every_text_comes_through(forms):
    assert parse_displays(line(forms)) == ((forms,), 0)


@pytest.mark.parametrize(
    ("mime_type", "text"),
    [("text/html", True), ("image/svg+xml", True), ("application/vnd.plotly.v1+json", True),
     ("application/json", True), ("image/png", False), ("audio/wav", False), ("application/pdf", False)],
)  # fmt: skip
def test_what_is_text_is_not_base64(mime_type, text):
    assert is_text(mime_type) is text
