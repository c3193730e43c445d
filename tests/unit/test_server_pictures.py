"""Which files of a program are passed on as pictures."""

import hashlib

import pytest

from sandbox_runner.events import Artifact
from sandbox_runner.server.pictures import picture_of

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


def png(width, height):
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + size + b"\x08\0\0\0\0rest"


def gif(width, height):
    return b"GIF89a" + width.to_bytes(2, "little") + height.to_bytes(2, "little") + b"rest"


def jpeg(width, height, start=0xC0):
    sides = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return b"\xff\xd8\xff\xe0\0\x04JF" + bytes([0xFF, start]) + b"\0\x11\x08" + sides + b"rest"


def shown(name, data):
    picture = picture_of(Artifact(name, data))
    return [picture.figure.mime_type] if picture else []


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
        ("plots/a.PNG", png(1, 1), ["image/png"]),
        ("a.gif", gif(8000, 1), ["image/gif"]),
        ("a.gif", gif(8001, 1), []),
        ("a.gif", gif(1, 0), []),
        ("a.gif", b"GIF89a", []),
        ("a.jpg", jpeg(640, 480), ["image/jpeg"]),
        ("a.jpeg", jpeg(640, 480, start=0xC2), ["image/jpeg"]),
        ("a.jpg", jpeg(640, 480, start=0xC4), []),
        ("a.jpg", jpeg(8001, 1), []),
        ("a.jpg", b"\xff\xd8\xff\xe0\0\0" * 9, []),
        ("a.jpg", b"\xff\xd8", []),
    ],
)
def test_a_picture_is_what_its_name_and_its_bytes_both_say(name, data, types):
    assert shown(name, data) == types


def test_a_figure_tells_its_size_and_digest_and_its_name_shows_no_control_characters():
    picture = picture_of(Artifact("\x1b\u202ea.svg", SVG))
    assert picture.figure.name == "␛<U+202E>a.svg"
    assert picture.figure.bytes == len(SVG)
    assert picture.figure.sha256 == hashlib.sha256(SVG).hexdigest()
