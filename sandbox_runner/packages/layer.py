"""What was installed, as an archive for a derived image: plain files under one folder, as we wrote it.

The names come from inside the builder, so nothing of them is believed.
"""

import tarfile
from collections.abc import Callable
from typing import BinaryIO

MAX_FILES = 200_000
_BLOCK = 512
_MAX_NAME, _MAX_PATH = 255, 3072  # bytes
_HOOKS = ("sitecustomize", "usercustomize")


class Refused(Exception):
    """What is not taken in, in words."""


def starts_with_python(path: str) -> bool:
    """Whether Python would execute this file of a folder on its path whenever it starts.

    >>> starts_with_python("evil.pth"), starts_with_python("sitecustomize/__init__.py")
    (True, True)
    """
    first, _, rest = path.partition("/")
    return first.partition(".")[0] in _HOOKS or (not rest and first.lower().endswith(".pth"))


class LayerWriter:
    """Writes an archive of files below ``folder`` (a path from the root, without a slash before it).

    Their sizes together are ``most`` at most. A file whose path ``leaves_out`` is passed over.
    """

    def __init__(self, file: BinaryIO, *, folder: str, most: int, leaves_out: Callable[[str], bool]) -> None:
        self.size = 0
        self._file = file
        self._folder = folder
        self._most = most
        self._leaves_out = leaves_out
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._left = self._padding = 0
        self._skipped = True
        for position, letter in enumerate(folder + "/"):
            if letter == "/":
                self._add(folder[:position], tarfile.DIRTYPE, 0o755, 0)

    def begin(self, path: bytes, *, executable: bool, size: int) -> None:
        """A file of ``size`` bytes, which follow. Raises Refused."""
        self._require_whole()
        name = _checked(path)
        self.size += size
        if self.size > self._most:
            raise Refused(f"more than {self._most} bytes, the operator's package_disk")
        if len(self._files) >= MAX_FILES:
            raise Refused(f"more than {MAX_FILES} files")
        self._enter(name)
        self._left = size
        self._skipped = self._leaves_out(name)
        if not self._skipped:
            self._add(f"{self._folder}/{name}", tarfile.REGTYPE, 0o755 if executable else 0o644, size)
            self._padding = -size % _BLOCK

    def write(self, data: bytes) -> None:
        """Bytes of the file that has begun. Raises Refused."""
        self._left -= len(data)
        if self._left < 0:
            raise Refused("more bytes than a file was to have")
        if not self._skipped:
            self._file.write(data)

    def finish(self) -> None:
        """Ends the archive. Raises Refused."""
        self._require_whole()
        self._file.write(bytes(2 * _BLOCK))
        self._file.flush()

    def _require_whole(self) -> None:
        if self._left:
            raise Refused("a file that is not whole")
        self._file.write(bytes(self._padding))
        self._padding = 0

    def _enter(self, name: str) -> None:
        parents = [name[:position] for position, letter in enumerate(name) if letter == "/"]
        if name in self._files or name in self._folders or self._files.intersection(parents):
            raise Refused(f"two files in one place, {name[:100]!r}")
        self._files.add(name)
        for parent in parents:
            if parent not in self._folders:
                self._folders.add(parent)
                self._add(f"{self._folder}/{parent}", tarfile.DIRTYPE, 0o755, 0)

    def _add(self, path: str, kind: bytes, mode: int, size: int) -> None:
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode, entry.size = kind, mode, size
        self._file.write(entry.tobuf(tarfile.PAX_FORMAT))


def _checked(path: bytes) -> str:
    try:
        name = path.decode()
    except UnicodeDecodeError:
        raise Refused("a name that is not UTF-8") from None
    parts = path.split(b"/")
    wrong = len(path) > _MAX_PATH or any(len(part) > _MAX_NAME for part in parts)
    if wrong or any(part in (b"", b".", b"..") for part in parts) or not name.isprintable():
        raise Refused(f"a file named {name[:100]!r}")
    return name
