"""What a program displayed, as an answer of a tool has it."""

import base64

from mcp_types import AudioContent, EmbeddedResource, ImageContent

from sandbox_runner.server.shown import display_lines, show

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0rest"


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_text_is_said_and_other_forms_are_attached_as_what_they_are():
    table = {"text/plain": "a table", "text/html": "<table>"}
    picture = {"text/plain": "a picture", "image/png": base64_of(PNG), "image/jpeg": base64_of(b"\xff\xd8")}
    sound = {"text/plain": "a sound", "audio/wav": base64_of(b"RIFF")}
    shown = show("id", (table, picture, sound), text=100)
    html, image, audio = shown.blocks
    assert isinstance(html, EmbeddedResource)
    assert (html.resource.uri, html.resource.text) == ("sandbox-runner://runs/id/displays/1", "<table>")
    assert isinstance(image, ImageContent)
    assert (image.mime_type, base64.b64decode(image.data)) == ("image/png", PNG)
    assert isinstance(audio, AudioContent)
    assert audio.mime_type == "audio/wav"
    assert [figure.name for figure in shown.figures] == ["display-2.png"]
    assert [each.attached for each in shown.displays] == [["text/html"], ["image/png"], ["audio/wav"]]
    assert list(display_lines(shown.displays)) == [
        "displayed:\na table", "displayed:\na picture", "displayed:\na sound",
    ]  # fmt: skip
    assert shown.omitted == 0


def test_what_is_not_the_picture_that_it_claims_to_be_is_not_attached():
    wide = PNG.replace(b"\0\0\0\x01\0\0\0\x01", b"\0\1\0\0\0\0\0\x01")
    claims = (
        {"image/png": base64_of(b"GIF89a")},
        {"image/png": base64_of(wide)},
        {"image/svg+xml": "<html>"},
    )
    shown = show("id", claims, text=100)
    assert (shown.blocks, shown.figures) == ([], [])
    assert next(display_lines(shown.displays)) == "displayed:\nimage/png"


def test_harmful_characters_become_visible_in_all_texts():
    shown = show("id", ({"text/plain": "a\x1b[2J", "text/html": "b\u202e"},), text=100)
    assert shown.displays[0].text == "a␛[2J"
    assert shown.blocks[0].resource.text == "b<U+202E>"


def test_texts_and_resources_and_pictures_are_capped():
    texts = show("id", ({"text/plain": "x" * 60}, {"text/plain": "y" * 60}), text=100).displays
    assert [each.text for each in texts] == ["x" * 60, "y" * 40 + "… (cut)"]
    html = show("id", ({"text/html": "x" * 60}, {"text/html": "y" * 60}, {"text/html": "z" * 30}), text=100)
    assert [each.attached for each in html.displays] == [["text/html"], [], ["text/html"]]
    many = show("id", ({"text/plain": "p", "image/png": base64_of(PNG)},) * 70, text=1000)
    assert (len(many.displays), len(many.blocks), len(many.figures), many.omitted) == (64, 16, 16, 6)
    large = show("id", ({"image/png": base64_of(PNG + bytes(3 << 20))},) * 4, text=10)
    assert len(large.blocks) == 2
