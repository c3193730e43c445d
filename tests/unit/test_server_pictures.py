"""Which files of a program are passed on as pictures."""

import hashlib

import pytest

from sandbox_runner.events import Artifact
from sandbox_runner.server.pictures import pictures

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


def png(width, height):
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + size + b"\x08\0\0\0\0rest"


def shown(name, data):
    return [picture.figure.mime_type for picture in pictures((Artifact(name, data),))]


@pytest.mark.parametrize(
    ("name", "data", "types"),
    [
        ("a.png", png(1, 1), ["image/png"]),
        ("a.png", png(8000, 8000), ["image/png"]),
        ("a.png", png(8001, 1), []),
        ("a.png", png(1, 2**32 - 1), []),
        ("a.png", png(0, 1), []),
        ("a.png", png(1, 0), []),
        ("a.png", b"", []),
        ("a.png", b"\x89PNG\r\n\x1a\n", []),
        ("a.png", png(1, 1)[:20], []),
        ("a.png", b"GIF89a" + png(1, 1), []),
        ("a.png", SVG, []),
        ("a.svg", SVG, ["image/svg+xml"]),
        ("a.svg", b"<?xml version='1.0'?>\n<!-- made -->\n" + SVG, ["image/svg+xml"]),
        ("a.svg", b" " * 5000 + SVG, []),
        ("a.svg", b"<html><body>", []),
        ("a.svg", SVG + b"\0", []),
        ("a.svg", SVG + b"\xff", []),
        ("a.svg", png(1, 1), []),
        ("a.jpg", png(1, 1), []),
        ("a.png.txt", png(1, 1), []),
    ],
)
def test_a_picture_is_what_its_name_and_its_bytes_both_say(name, data, types):
    assert shown(name, data) == types


def test_a_figure_tells_its_size_and_digest_and_its_name_shows_no_control_characters():
    [picture] = pictures((Artifact("\x1b\u202ea.svg", SVG),))
    assert picture.figure.name == "␛<U+202E>a.svg"
    assert picture.figure.bytes == len(SVG)
    assert picture.figure.sha256 == hashlib.sha256(SVG).hexdigest()
