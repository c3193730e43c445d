"""Pictures that a program left, as image content. They are hostile: only what looks like one is passed on."""

import base64
from dataclasses import dataclass

from mcp_types import ImageContent

from sandbox_runner.events import Artifact
from sandbox_runner.server.reports import Figure
from sandbox_runner.server.text import neutral

_PNG = b"\x89PNG\r\n\x1a\n"
_MAX_SIDE = 8000  # pixels: models refuse more, and decoding a bomb costs the client its memory
_SEGMENTS = 100  # of a JPEG that are looked at; photographs have some ten before the first frame


@dataclass(frozen=True, slots=True)
class Picture:
    """A file that is what its name says."""

    figure: Figure
    data: bytes

    def content(self) -> ImageContent:
        """The picture as MCP has it."""
        return ImageContent(data=base64.b64encode(self.data).decode(), mime_type=self.figure.mime_type)


def picture_of(artifact: Artifact) -> Picture | None:
    """The picture that ``artifact`` is, where a client may show it."""
    mime_type = _mime_type(artifact)
    if not mime_type:
        return None
    figure = Figure(
        name=neutral(artifact.path), mime_type=mime_type, bytes=artifact.size, sha256=artifact.sha256
    )
    return Picture(figure, artifact.data)


def _mime_type(artifact: Artifact) -> str | None:
    """By the name, where the bytes say the same and no side is too long."""
    name, data = artifact.path.lower(), artifact.data
    if name.endswith(".svg"):
        return "image/svg+xml" if _is_svg(data) else None
    if name.endswith(".png") and data.startswith(_PNG) and data[12:16] == b"IHDR":
        sides, found = (data[16:20], data[20:24]), "image/png"
    elif name.endswith(".gif") and data.startswith((b"GIF87a", b"GIF89a")):
        sides, found = (data[7:5:-1], data[9:7:-1]), "image/gif"
    elif name.endswith((".jpg", ".jpeg")) and data.startswith(b"\xff\xd8"):
        sides, found = _jpeg_sides(data), "image/jpeg"
    else:
        return None
    return found if all(0 < int.from_bytes(side, "big") <= _MAX_SIDE for side in sides) else None


def _jpeg_sides(data: bytes) -> tuple[bytes, bytes]:
    """Height and width, from the segment that begins a frame; empty where there is none."""
    position = 2
    for _ in range(_SEGMENTS):
        if data[position : position + 1] != b"\xff" or position + 9 > len(data):
            break
        kind = data[position + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return data[position + 5 : position + 7], data[position + 7 : position + 9]
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return b"", b""


def _is_svg(data: bytes) -> bool:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return "\0" not in text and "<svg" in text[:4096]
