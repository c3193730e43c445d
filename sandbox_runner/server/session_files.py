"""The tools for the files of a session."""

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import anyio
from mcp.server.mcpserver import Context
from mcp_types import CallToolResult

from sandbox_runner.errors import QueueFull, SandboxError
from sandbox_runner.events import Artifact
from sandbox_runner.server import arguments as ask
from sandbox_runner.server.pictures import Picture, picture_of
from sandbox_runner.server.render import page
from sandbox_runner.server.service import Service
from sandbox_runner.server.session_reports import FileChange, FileContent, FileEntry, FileList
from sandbox_runner.server.sessions import find, refusal
from sandbox_runner.server.text import neutral, whole_characters
from sandbox_runner.sessions.workspace import FilePart, Listing

_TURN = 40.0  # seconds that a call waits for what runs in the session, and works
_PAGE = 65536  # bytes that read_file returns unless told
_PICTURE = 4 << 20  # bytes of a file that may come as an image
_PICTURES = (".png", ".jpg", ".jpeg", ".gif")
_LISTED = 500
_BUSY = "The session was busy for {seconds:g} s; wait for what runs there, or end it with cancel_run."


@dataclass(frozen=True, slots=True)
class SessionFiles:
    """write_file, read_file, list_files and delete_file over one service."""

    service: Service

    async def write_file(
        self,
        context: Context,
        session: ask.Session,
        path: ask.Path,
        content: ask.Content,
        encoding: ask.ContentEncoding = "text",
        executable: ask.Executable = False,
    ) -> Annotated[CallToolResult, FileChange]:
        """Write a file of a session, in place of one that is there; folders are made."""
        try:
            file = ask.File(path=path, content=content, encoding=encoding, executable=executable)
            (asked,) = ask.input_files([file])
            with _in_time():
                await find(self.service, context, session).write_file(path, asked.data, mode=asked.mode)
        except SandboxError as error:
            return refusal(self.service, FileChange, error)
        report = FileChange(status="written", path=neutral(path), bytes=len(asked.data))
        return page(report, f"written: {report.path} ({report.bytes} bytes)")

    async def read_file(
        self,
        context: Context,
        session: ask.Session,
        path: ask.Path,
        offset: ask.FileOffset = 0,
        max_bytes: ask.MaxBytes = _PAGE,
        encoding: ask.FileEncoding = "auto",
    ) -> Annotated[CallToolResult, FileContent]:
        """Read a file of a session, or a range of it; pictures come back as images."""
        picture = encoding == "auto" and offset == 0 and path.lower().endswith(_PICTURES)
        try:
            with _in_time():
                opened = find(self.service, context, session)
                size = _PICTURE if picture else max_bytes
                part = await opened.read_part(path, offset=offset, size=size)
        except SandboxError as error:
            return refusal(self.service, FileContent, error)
        whole = len(part.data) == part.total
        shown = picture_of(Artifact(path, part.data)) if picture and whole else None
        if picture and not shown:
            part = FilePart(part.data[:max_bytes], part.offset, part.total)
        report = _content(path, part, shown, encoding)
        return page(report, "\n".join(_lines(report)), [shown.content()] if shown else [])

    async def list_files(
        self, context: Context, session: ask.Session, path: ask.Folder = ".", offset: ask.EntryOffset = 0
    ) -> Annotated[CallToolResult, FileList]:
        """List a folder of a session: names, kinds and sizes."""
        try:
            with _in_time():
                listing = await find(self.service, context, session).list_files(
                    path, offset=offset, count=_LISTED
                )
        except SandboxError as error:
            return refusal(self.service, FileList, error)
        report = _listed(path, listing)
        names = [f"{entry.kind} {entry.name!r} {entry.bytes} bytes" for entry in report.files]
        notes = [f"Note: {note}" for note in report.notes]
        return page(report, "\n".join([f"{report.total} entries in {report.path}", *notes, *names]))

    async def delete_file(
        self, context: Context, session: ask.Session, path: ask.Path
    ) -> Annotated[CallToolResult, FileChange]:
        """Delete a file of a session, or a folder with all in it."""
        try:
            with _in_time():
                await find(self.service, context, session).delete_file(path)
        except SandboxError as error:
            return refusal(self.service, FileChange, error)
        report = FileChange(status="deleted", path=neutral(path))
        return page(report, f"deleted: {report.path}")


@contextmanager
def _in_time() -> Iterator[None]:
    """Within it time is short: what runs in the session may have to be waited for. Raises QueueFull."""
    try:
        with anyio.fail_after(_TURN):
            yield
    except TimeoutError:
        raise QueueFull(_BUSY.format(seconds=_TURN), retry_after=1.0) from None


def _content(path: str, part: FilePart, shown: Picture | None, encoding: str) -> FileContent:
    next_offset = part.offset + len(part.data)
    fields: dict[str, Any] = {"status": "read", "path": neutral(path), "offset": part.offset}
    fields["total_bytes"] = part.total
    if shown:
        return FileContent(**fields, next_offset=next_offset, encoding="image", figures=[shown.figure])
    text = None if encoding == "base64" else _text(part)
    if text is None and encoding == "text":
        text = part.data
    if text is None:
        data = base64.b64encode(part.data).decode()
        return FileContent(**fields, next_offset=next_offset, encoding="base64", data=data)
    data = neutral(text.decode(errors="replace"))
    return FileContent(**fields, next_offset=part.offset + len(text), data=data)


def _text(part: FilePart) -> bytes | None:
    """The bytes of ``part`` that are whole characters; None where it is no text."""
    at_end = part.offset + len(part.data) >= part.total
    data = part.data if at_end else whole_characters(part.data)
    try:
        return None if "\0" in data.decode() else data
    except UnicodeDecodeError:
        return None


def _lines(report: FileContent) -> list[str]:
    place = f"bytes {report.offset} to {report.next_offset} of {report.total_bytes} of {report.path}"
    attached = [f"{figure.name}, {figure.mime_type}, attached" for figure in report.figures]
    return [f"{place} ({report.encoding})", *attached, report.data]


def _listed(path: str, listing: Listing) -> FileList:
    now = time.time()
    entries = [
        FileEntry(
            name=neutral(entry.name),
            kind=entry.kind,  # type: ignore[arg-type] # one of these, as it was parsed
            bytes=entry.size,
            mode=f"{entry.mode:o}",
            age_s=round(now - entry.modified, 1),
        )
        for entry in listing.entries
    ]
    end = listing.offset + len(entries)
    notes = [f"There are more: offset={end} reads on."] if entries and end < listing.total else []
    return FileList(
        status="listed", path=neutral(path), files=entries, offset=listing.offset, total=listing.total,
        notes=notes,
    )  # fmt: skip
