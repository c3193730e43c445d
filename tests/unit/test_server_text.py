"""Text made fit to be read and shown: nothing harmful stays, nothing harmless changes."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runner.server.text import neutral, whole_characters

HARMFUL = [
    *range(0x09),
    *range(0x0B, 0x20),
    *range(0x7F, 0xA0),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
]
HARMFUL += [*range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080)]


@pytest.mark.parametrize("text", ["", "a\tb\n", "ä€😀\u200d\u0301 ✓ 日本 עברית", "␛[31m", "<U+202E>"])
def test_plain_text_stays_as_it_is(text):
    assert neutral(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("a\r\nb\rc\n", "a\nb␍c\n"),
        ("\x00\x07\x08\x0b\x7f", "␀␇␈␋␡"),
        ("\x9b31m", "<U+009B>31m"),
        ("user\u202egpj.exe\u2066\u2069", "user<U+202E>gpj.exe<U+2066><U+2069>"),
        ("hidden\U000e0061\U000e007f", "hidden<U+E0061><U+E007F>"),
    ],
)
def test_what_harms_is_shown(text, shown):
    assert neutral(text) == shown


def test_every_harmful_character_is_replaced_and_every_other_kept():
    for code in range(0x110000):
        kept = neutral(f"x{chr(code)}y") == f"x{chr(code)}y"
        assert kept is (code not in HARMFUL), hex(code)


@given(st.text())
def test_what_is_neutral_once_is_neutral(text):
    once = neutral(text)
    assert neutral(once) == once
    assert not any(unicodedata.category(sign) == "Cc" and sign not in "\n\t" for sign in once)


@given(st.text(min_size=1), st.integers(1, 40))
def test_pages_of_whole_characters_are_the_text(text, size):
    data = text.encode(errors="replace")
    position, read = 0, b""
    while position < len(data):
        page = whole_characters(data[position : position + size])
        assert page
        position += len(page)
        read += page
        if size >= 4:
            page.decode()
    assert read == data


@given(st.binary(min_size=1))
def test_any_bytes_make_progress(data):
    page = whole_characters(data)
    assert 0 < len(page) <= len(data)
    assert len(data) - len(page) < 4
    assert data.startswith(page)
