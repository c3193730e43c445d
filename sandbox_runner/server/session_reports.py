"""What the tools for sessions answer, as the schemas that they publish. Seconds and bytes throughout."""

from typing import Literal

from pydantic import Field

from sandbox_runner.server.reports import Figure, Report

_NOT_DONE = "refused: change the request; busy: retry; failed: see notes"
_NOTES = "what to know and to do next"
_RETRY = "seconds to wait; set when status is busy"


class SessionReport(Report):
    """A session, or why there is none."""

    status: Literal["open", "ended", "refused", "busy", "failed"] = Field(description=_NOT_DONE)
    session: str | None = Field(default=None, description="handle for the other tools; keep it to yourself")
    language: str | None = None
    age_s: float | None = None
    expires_in_s: float | None = Field(default=None, description="if nothing uses it meanwhile")
    notes: list[str] = Field(default_factory=list, description=_NOTES)
    retry_after_s: float | None = Field(default=None, description=_RETRY)


class SessionList(Report):
    """The caller's sessions, the newest first; those that have ended say why."""

    sessions: list[SessionReport] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list, description=_NOTES)


class SnapshotReport(Report):
    """A snapshot of a session's workspace."""

    status: Literal["taken", "refused", "busy", "failed"] = Field(description=_NOT_DONE)
    snapshot: str | None = Field(default=None, description="pass it to open_session as snapshot")
    notes: list[str] = Field(default_factory=list, description=_NOTES)
    retry_after_s: float | None = Field(default=None, description=_RETRY)


class FileChange(Report):
    """What became of a file."""

    status: Literal["written", "deleted", "refused", "busy", "failed"] = Field(description=_NOT_DONE)
    path: str | None = None
    bytes: int | None = Field(default=None, description="set when status is written")
    notes: list[str] = Field(default_factory=list, description=_NOTES)
    retry_after_s: float | None = Field(default=None, description=_RETRY)


class FileContent(Report):
    """A range of a file's bytes."""

    status: Literal["read", "refused", "busy", "failed"] = Field(description=_NOT_DONE)
    path: str | None = None
    offset: int = 0
    next_offset: int = Field(default=0, description="where to read on")
    total_bytes: int = Field(default=0, description="the size of the file")
    encoding: Literal["text", "base64", "image"] = Field(
        default="text", description="image: it is attached, and data is empty"
    )
    data: str = ""
    figures: list[Figure] = Field(default_factory=list, description="set when encoding is image")
    notes: list[str] = Field(default_factory=list, description=_NOTES)
    retry_after_s: float | None = Field(default=None, description=_RETRY)


class FileEntry(Report):
    """An entry of a folder."""

    name: str
    kind: Literal["file", "folder", "link", "fifo", "socket", "other"]
    bytes: int
    mode: str = Field(description="permissions in octal, such as 644")
    age_s: float = Field(description="since it was changed")


class FileList(Report):
    """Entries of a folder, by name."""

    status: Literal["listed", "refused", "busy", "failed"] = Field(description=_NOT_DONE)
    path: str | None = None
    files: list[FileEntry] = Field(default_factory=list)
    offset: int = 0
    total: int = Field(default=0, description="entries that the folder has")
    notes: list[str] = Field(default_factory=list, description=_NOTES)
    retry_after_s: float | None = Field(default=None, description=_RETRY)
