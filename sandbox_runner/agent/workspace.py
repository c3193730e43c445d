"""The files that the host sends ahead of a job, written below the workspace and nowhere else.

A former job may have left anything there: no link is followed, nothing that exists is written through.
"""

import posix
from errno import EINVAL

from .protocol import FILE, FILE_DATA, ProtocolError

_FOLDER = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
_NEW_FILE = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
_MODE = 4  # bytes of the mode ahead of the path


class Workspace:
    """The working folder at the start of PID 1, and the file being written, if any."""

    __slots__ = ("_file", "root")

    def __init__(self) -> None:
        self.root = posix.open(".", _FOLDER)
        self._file = -1

    def take(self, kind: int, payload: bytes) -> None:
        """Handles FILE, FILE_DATA or FILE_END. Raises OSError, and ProtocolError for data without a file."""
        if kind == FILE_DATA:
            if self._file < 0:
                raise ProtocolError("FILE_DATA without a file")
            _write(self._file, payload)
            return
        self.close()
        if kind == FILE:
            self._begin(payload)

    def close(self) -> None:
        """Ends the file being written, if any."""
        if self._file >= 0:
            posix.close(self._file)
            self._file = -1

    def _begin(self, payload: bytes) -> None:
        if len(payload) <= _MODE:
            raise ProtocolError("a FILE is too short")
        parts = payload[_MODE:].split(b"/")
        if b"\0" in payload[_MODE:] or any(part in (b"", b".", b"..") for part in parts):
            raise OSError(EINVAL, "is not a plain path relative to the workspace", payload[_MODE:])
        self._file = _create(self.root, parts)
        posix.fchmod(self._file, int.from_bytes(payload[:_MODE], "big") & 0o777)


def _create(root: int, parts: list[bytes]) -> int:
    folder = posix.dup(root)
    try:
        for name in parts[:-1]:
            inner = _enter(folder, name)
            posix.close(folder)
            folder = inner
        return _replace(folder, parts[-1])
    finally:
        posix.close(folder)


def _enter(folder: int, name: bytes) -> int:
    try:
        posix.mkdir(name, 0o755, dir_fd=folder)
    except FileExistsError:
        pass
    return posix.open(name, _FOLDER, dir_fd=folder)


def _replace(folder: int, name: bytes) -> int:
    try:
        return posix.open(name, _NEW_FILE, 0o600, dir_fd=folder)
    except FileExistsError:
        posix.unlink(name, dir_fd=folder)
        return posix.open(name, _NEW_FILE, 0o600, dir_fd=folder)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[posix.write(file, view) :]
