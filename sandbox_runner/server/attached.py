"""Files that a program left, as an answer has them: attached within caps, the others to be read by path.

Pictures, sounds and texts are attached. All of them are hostile: what is attached is what its name and
its bytes both say, and its name shows no control characters.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from mcp_types import AudioContent, ContentBlock, EmbeddedResource, TextResourceContents

from sandbox_runner.events import Artifact
from sandbox_runner.server.pictures import picture_of
from sandbox_runner.server.reports import Figure, FileReport
from sandbox_runner.server.text import neutral

_MOST = 16  # files that are attached to an answer
_LARGEST = 4 << 20  # bytes of one
_ALL = 8 << 20  # bytes of all
_SOUNDS = {
    "audio/wav": (".wav",),
    "audio/mpeg": (".mp3",),
    "audio/ogg": (".ogg", ".opus"),
    "audio/flac": (".flac",),
}


@dataclass
class Attached:
    """What an answer says of the files, and has of them: ``figures`` are all attached."""

    figures: list[Figure] = field(default_factory=list)
    files: list[FileReport] = field(default_factory=list)
    blocks: list[ContentBlock] = field(default_factory=list)


def attach(run_id: str, artifacts: tuple[Artifact, ...], *, text: int) -> Attached:
    """The files of a run; of texts at most ``text`` bytes in all are attached, and said in the report too."""
    attached = Attached()
    left, text_left = _ALL, text
    for artifact in artifacts:
        fits = artifact.size <= min(left, _LARGEST) and len(attached.blocks) < _MOST
        picture = picture_of(artifact) if fits else None
        words = _text(artifact) if fits and artifact.size <= text_left else None
        if picture is not None:
            attached.figures.append(picture.figure)
            attached.blocks.append(picture.content())
        elif fits and artifact.path.lower().endswith(_SOUNDS.get(artifact.type, ())):
            attached.files.append(_report(artifact, attached=True))
            attached.blocks.append(_sound(artifact))
        elif words is not None:
            text_left -= artifact.size
            attached.files.append(_report(artifact, attached=True, text=words))
            attached.blocks.append(_resource(run_id, artifact, words))
        else:
            attached.files.append(_report(artifact, attached=False))
            continue
        left -= artifact.size
    return attached


def file_lines(run_id: str | None, files: list[FileReport]) -> Iterator[str]:
    """One line for each file: where it is to be found."""
    for file in files:
        where = (
            "attached" if file.attached else f"read_output(run_id={run_id!r}, file={file.path!r}) reads it"
        )
        yield f"file: {file.path} ({file.mime_type}, {file.bytes} bytes), {where}"


def _report(artifact: Artifact, *, attached: bool, text: str | None = None) -> FileReport:
    return FileReport(
        path=neutral(artifact.path),
        mime_type=artifact.type,
        bytes=artifact.size,
        sha256=artifact.sha256,
        attached=attached,
        text=text,
    )


def _sound(artifact: Artifact) -> AudioContent:
    return AudioContent(data=base64.b64encode(artifact.data).decode(), mime_type=artifact.type)


def _resource(run_id: str, artifact: Artifact, text: str) -> EmbeddedResource:
    uri = f"sandbox-runner://runs/{run_id}/{quote(artifact.path)}"
    return EmbeddedResource(resource=TextResourceContents(uri=uri, mime_type=artifact.type, text=text))


def _text(artifact: Artifact) -> str | None:
    """The text of a file that is one, fit to be shown."""
    data = artifact.data
    if b"\0" in data or not artifact.type.startswith(("text/", "application/", "image/svg")):
        return None
    try:
        return neutral(data.decode())
    except UnicodeDecodeError:
        return None
