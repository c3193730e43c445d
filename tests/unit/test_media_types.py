"""A file's type is told by its name and its first bytes, and where these disagree by its bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runner.media_types import HEAD, media_type

PNG, WAV = b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WAVEfmt "


@pytest.mark.parametrize(
    ("path", "head", "expected"),
    [
        ("a.png", PNG, "image/png"),
        ("a.txt", PNG, "image/png"),
        ("a.png", b"<html>", "text/plain"),
        ("a.png", b"\0\1", "application/octet-stream"),
        ("a.jpg", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("a.wav", WAV, "audio/wav"),
        ("a.wav", WAV[4:], "application/octet-stream"),
        ("a.mp3", b"ID3\4", "audio/mpeg"),
        ("a.svg", b"<svg/>", "image/svg+xml"),
        ("a.svg", b"no picture", "text/plain"),
        ("a.CSV", b"1,2", "text/csv"),
        ("folder.csv/a", b"1,2", "text/plain"),
        ("a.json", b"{}", "application/json"),
        ("a.html", b"<p>", "text/html"),
        ("a.zip", b"PK\3\4", "application/zip"),
        ("a.tar", bytes(257) + b"ustar", "application/x-tar"),
        ("a.tar.gz", b"\x1f\x8b", "application/gzip"),
        ("a.pdf", b"%PDF-1.7", "application/pdf"),
        ("a.xlsx", b"PK\3\4", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ("csv", b"1", "text/csv"),
        ("a", b"", "text/plain"),
    ],
)  # fmt: skip
def test_a_type_is_told(path, head, expected):
    assert media_type(path, head) == expected


def test_text_whose_last_character_is_cut_is_text():
    text = ("a" * (HEAD - 1) + "€").encode()
    assert media_type("a", text[:HEAD]) == "text/plain"
    assert media_type("a", text[: HEAD - 1] + b"\xff\xff") == "application/octet-stream"


@given(st.text(max_size=30), st.binary(max_size=HEAD))
def test_every_file_has_a_type(path, head):
    assert media_type(path, head).count("/") == 1
