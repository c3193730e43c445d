"""What a run displayed, as the command line shows it: text on stdout, pictures and sounds as files."""

import base64
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from sandbox_runner.cli.exits import emit, say
from sandbox_runner.displays import Display
from sandbox_runner.outbox import Outbox

_FILES = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/svg+xml": "svg",
    "application/pdf": "pdf",
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "text/html": "html",
}


def print_displays(displays: Iterable[Display]) -> None:
    """Prints the text of each; where it has none, the types of its forms. Raises OutputError."""
    for display in displays:
        emit(display.get("text/plain") or f"[{', '.join(display)}]")


def write_displays(displays: Iterable[Display], folder: Path) -> None:
    """Writes display-1.png and the like, for each form that files have. Raises InvalidRequest."""
    files = list(_files(displays))
    if not files:
        return
    outbox = Outbox(folder.absolute())
    try:
        for name, data in files:
            try:
                with os.fdopen(outbox.begin(name), "wb") as file:
                    file.write(data)
                say(f"wrote {outbox.put(name, name)} ({len(data)} bytes)")
            except OSError as error:
                say(f"{name} cannot be written to {folder} ({error.strerror}).")
    finally:
        outbox.close()


def _files(displays: Iterable[Display]) -> Iterator[tuple[str, bytes]]:
    for number, display in enumerate(displays, start=1):
        for mime_type, extension in _FILES.items():
            if mime_type in display:
                text = mime_type.startswith("text/") or mime_type.endswith("+xml")
                form = display[mime_type]
                yield f"display-{number}.{extension}", form.encode() if text else base64.b64decode(form)
