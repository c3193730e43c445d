"""What a program displayed, as an answer has it: its text first, and beside it what a client can show.

Pictures and sounds are content of their own; HTML, Markdown, LaTeX and JSON are embedded resources. All of
it is hostile, and capped.
"""

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mcp_types import AudioContent, ContentBlock, EmbeddedResource, TextResourceContents

from sandbox_runner.displays import Display
from sandbox_runner.events import Artifact
from sandbox_runner.server.pictures import picture_of
from sandbox_runner.server.reports import DisplayReport, Figure
from sandbox_runner.server.text import neutral

_MOST = 64  # displays that an answer shows
_MOST_BLOCKS = 16
_LARGEST = 4 << 20  # bytes of one picture or sound
_ALL = 8 << 20  # bytes of all
_PICTURES = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/svg+xml": "svg",
}  # of one display the first is shown
_RESOURCES = ("text/html", "text/markdown", "text/latex", "application/json")
_CUT = "… (cut)"


@dataclass
class Shown:
    """What an answer says of displays, and has of them; ``omitted`` counts those that it is silent about."""

    displays: list[DisplayReport] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    blocks: list[ContentBlock] = field(default_factory=list)
    omitted: int = 0
    left: int = _ALL


def show(run_id: str, displays: tuple[Display, ...], *, text: int) -> Shown:
    """The displays of a run, with ``text`` characters of text and as many of embedded resources at most."""
    shown = Shown(omitted=max(0, len(displays) - _MOST))
    texts_left = resources_left = text
    for number, display in enumerate(displays[:_MOST], start=1):
        words = neutral(display.get("text/plain", ""))
        attached = []
        for mime_type, block in _blocks(run_id, number, display, shown):
            resource = isinstance(block, EmbeddedResource)
            if len(shown.blocks) == _MOST_BLOCKS or (resource and len(display[mime_type]) > resources_left):
                continue
            resources_left -= len(display[mime_type]) if resource else 0
            shown.blocks.append(block)
            attached.append(mime_type)
        cut = words if len(words) <= texts_left else words[:texts_left] + _CUT
        texts_left -= min(len(words), texts_left)
        shown.displays.append(
            DisplayReport(text=cut, forms=[neutral(each) for each in display], attached=attached)
        )
    return shown


def display_lines(displays: Iterable[DisplayReport]) -> Iterator[str]:
    """A paragraph for each."""
    for display in displays:
        yield f"displayed:\n{display.text or ', '.join(display.forms)}"


def _blocks(run_id: str, number: int, display: Display, shown: Shown) -> Iterator[tuple[str, ContentBlock]]:
    for mime_type, extension in _PICTURES.items():
        data = _data(display, mime_type, shown)
        picture = picture_of(Artifact(f"display-{number}.{extension}", data)) if data else None
        if picture is not None and len(shown.blocks) < _MOST_BLOCKS:
            shown.left -= len(picture.data)
            shown.figures.append(picture.figure)
            yield mime_type, picture.content()
            break
    for mime_type in display:
        data = _data(display, mime_type, shown) if mime_type.startswith("audio/") else b""
        if data and len(shown.blocks) < _MOST_BLOCKS:
            shown.left -= len(data)
            yield mime_type, AudioContent(data=display[mime_type], mime_type=mime_type)
    for mime_type in _RESOURCES:
        if mime_type in display:
            uri = f"sandbox-runner://runs/{run_id}/displays/{number}"
            resource = TextResourceContents(uri=uri, mime_type=mime_type, text=neutral(display[mime_type]))
            yield mime_type, EmbeddedResource(resource=resource)


def _data(display: Display, mime_type: str, shown: Shown) -> bytes:
    """The bytes of a form; empty where there is none, or no room for it."""
    form = display.get(mime_type, "")
    if len(form) > 4 * min(shown.left, _LARGEST) // 3:
        return b""
    return form.encode() if mime_type.endswith("+xml") else base64.b64decode(form)
