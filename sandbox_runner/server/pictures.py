"""Pictures that a program left, as image content. They are hostile: only what looks like one is passed on."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from mcp_types import ImageContent

from sandbox_runner.events import Artifact
from sandbox_runner.server.reports import Figure
from sandbox_runner.server.text import neutral

_PNG = b"\x89PNG\r\n\x1a\n"
_MAX_SIDE = 8000  # pixels: models refuse more, and decoding a bomb costs the client its memory


@dataclass(frozen=True, slots=True)
class Picture:
    """A file that is what its name says."""

    figure: Figure
    data: bytes

    def content(self) -> ImageContent:
        """The picture as MCP has it."""
        return ImageContent(data=base64.b64encode(self.data).decode(), mime_type=self.figure.mime_type)


def pictures(artifacts: tuple[Artifact, ...]) -> Iterator[Picture]:
    """Those of ``artifacts`` that a client may show."""
    for artifact in artifacts:
        mime_type = _mime_type(artifact)
        if mime_type:
            digest = hashlib.sha256(artifact.data).hexdigest()
            figure = Figure(
                name=neutral(artifact.path), mime_type=mime_type, bytes=len(artifact.data), sha256=digest
            )
            yield Picture(figure, artifact.data)


def _mime_type(artifact: Artifact) -> str | None:
    data = artifact.data
    if artifact.path.endswith(".png") and data.startswith(_PNG) and data[12:16] == b"IHDR":
        width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
        return "image/png" if 0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE else None
    if artifact.path.endswith(".svg"):
        return "image/svg+xml" if _is_svg(data) else None
    return None


def _is_svg(data: bytes) -> bool:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return "\0" not in text and "<svg" in text[:4096]
