"""A folder of this machine that files from a container are written to, and nowhere else.

What arrives is hostile, names and bytes. All of it goes to a folder of our own inside the chosen one first,
and from there to its place only when the run is over: what comes of a run that broke off is removed. On
its way to its place no link is followed and nothing is written through: a file that is there is replaced.
Nothing goes into a `.git`: git would run its hooks and settings here.

On Windows, where no folder can be held by a descriptor, each part of a path is looked at before it is
used, and names that mean something else there than on Linux are refused.
"""

import os
import re
import secrets
import shutil
import stat
import time
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from sandbox_runner.agent.patterns import plain_path
from sandbox_runner.errors import InvalidRequest

_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_OWN = re.compile(r"\.sandbox-runner-[0-9a-f]{16}")
_OWN_MODE = 0o700
_UNLOCKED = 60.0  # seconds after its making within which a folder may not have its lock yet
# Devices of Windows, streams of a file, wildcards, and the ends of names that it drops.
_NOT_ON_WINDOWS = re.compile(
    r'[<>:"\\|?*]|[. ]$|^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)', re.IGNORECASE
)


class Place(Protocol):
    """A folder that files are begun in, and then put to their places below."""

    def begin(self, name: str, *, executable: bool = False) -> int:
        """A descriptor of a new file, still apart; its mode is what the umask leaves. Raises OSError."""
        ...

    def put(self, name: str, path: str) -> None:
        """Moves that file to ``path``, replacing a file there. Raises OSError where that cannot be."""
        ...

    def drop(self, name: str) -> None:
        """Removes a file that was begun."""
        ...

    def close(self) -> None:
        """Removes all that has not been put anywhere."""
        ...


class Outbox:
    """The files that one run writes to ``folder``, which is made where it is not there.

    Raises InvalidRequest where it cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._place: Place = HeldFolder(folder) if os.open in os.supports_dir_fd else NamedFolder(folder)
        except OSError as error:
            raise InvalidRequest(
                f"{folder} cannot take files ({error.strerror}); choose another folder."
            ) from error

    def begin(self, name: str, *, executable: bool = False) -> int:
        """A descriptor to write a file to, which `put` then moves. Raises OSError."""
        return self._place.begin(name, executable=executable)

    def put(self, name: str, path: str) -> Path:
        """Moves what was begun as ``name`` to ``path``; where it then is. Raises OSError where it cannot."""
        if not plain_path(path):
            raise OSError(f"{path!r} is not a plain path")
        if any(map(_is_gits, path.split("/"))):
            raise OSError(f"{path!r} is for git to run")
        self._place.put(name, path)
        return self.folder.joinpath(*path.split("/"))

    def drop(self, name: str) -> None:
        """Removes what was begun as ``name``."""
        self._place.drop(name)

    def close(self) -> None:
        """Removes all that was begun and not put."""
        self._place.close()


def _mode(executable: bool) -> int:
    return 0o777 if executable else 0o666


def _own_name() -> str:
    return f".sandbox-runner-{secrets.token_hex(8)}"


class HeldFolder:
    """A `Place` whose folders are held by descriptors: what others rename or link meanwhile has no effect."""

    def __init__(self, folder: Path) -> None:
        self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._own_name = _own_name()
        try:
            _remove_left(self._root)
            os.mkdir(self._own_name, _OWN_MODE, dir_fd=self._root)
            self._own = os.open(self._own_name, _FOLDER, dir_fd=self._root)
            _lock(self._own)
        except OSError:
            os.close(self._root)
            raise
        self._written: set[tuple[int, int]] = set()

    def begin(self, name: str, *, executable: bool = False) -> int:
        """See `Place`."""
        return os.open(name, _NEW, _mode(executable), dir_fd=self._own)

    def put(self, name: str, path: str) -> None:
        """See `Place`."""
        *folders, last = path.split("/")
        folder = os.dup(self._root)
        try:
            for part in folders:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=folder)
                outer, folder = folder, os.open(part, _FOLDER, dir_fd=folder)
                os.close(outer)
            _refuse_second(self._written, _state(last, folder), path)
            os.rename(name, last, src_dir_fd=self._own, dst_dir_fd=folder)
            self._written.add(_identity(os.stat(last, dir_fd=folder, follow_symlinks=False)))
        finally:
            os.close(folder)

    def drop(self, name: str) -> None:
        """See `Place`."""
        os.unlink(name, dir_fd=self._own)

    def close(self) -> None:
        """See `Place`."""
        with suppress(OSError):
            _remove(self._own_name, self._own, self._root)
        os.close(self._own)
        os.close(self._root)


class NamedFolder:
    """A `Place` known by its path: links are looked for before each step, not barred in it.

    The program cannot put any there, as all that it has written so far was put by us; who else may write
    to the folder can.
    """

    def __init__(self, folder: Path) -> None:
        self._root = folder.resolve()
        self._own = self._root / _own_name()
        self._own.mkdir(0o700)
        self._written: set[tuple[int, int]] = set()

    def begin(self, name: str, *, executable: bool = False) -> int:
        """See `Place`."""
        return os.open(self._own / name, _NEW, _mode(executable))

    def put(self, name: str, path: str) -> None:
        """See `Place`."""
        *folders, last = path.split("/")
        if any(map(_NOT_ON_WINDOWS.search, (*folders, last))):
            raise OSError(f"{path!r} means something else on Windows")
        folder = self._root
        for part in folders:
            folder /= part
            with suppress(FileExistsError):
                folder.mkdir()
            if not _is_own_folder(folder):
                raise OSError(f"{folder} is not a folder, or leads elsewhere")
        target = folder / last
        state = target.lstat() if os.path.lexists(target) else None
        _refuse_second(self._written, state, path)
        (self._own / name).replace(target)
        self._written.add(_identity(target.lstat()))

    def drop(self, name: str) -> None:
        """See `Place`."""
        (self._own / name).unlink()

    def close(self) -> None:
        """See `Place`."""
        shutil.rmtree(self._own, ignore_errors=True)


def _remove_left(root: int) -> None:
    """Removes what processes that were killed have left in this folder: what nobody holds the lock of."""
    for name in filter(_OWN.fullmatch, os.listdir(root)):
        with suppress(OSError):
            folder = os.open(name, _FOLDER, dir_fd=root)
            try:
                state = os.fstat(folder)
                ours = state.st_uid == os.geteuid() and stat.S_IMODE(state.st_mode) == _OWN_MODE
                if ours and state.st_mtime < time.time() - _UNLOCKED and _lock(folder):
                    _remove(name, folder, root)
            finally:
                os.close(folder)


def _remove(name: str, folder: int, root: int) -> None:
    for each in os.listdir(folder):
        os.unlink(each, dir_fd=folder)
    os.rmdir(name, dir_fd=root)


def _lock(folder: int) -> bool:
    """Whether it is ours until it is closed; not every file system knows locks."""
    import fcntl  # noqa: PLC0415 - Windows has none, and this neither

    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_gits(part: str) -> bool:
    """Whether some file system takes it for `.git`: case or invisible characters count nowhere there."""
    shown = (sign for sign in unicodedata.normalize("NFKC", part) if unicodedata.category(sign) != "Cf")
    return "".join(shown).casefold().rstrip(". ") in (".git", "git~1")


def _state(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _identity(state: os.stat_result) -> tuple[int, int]:
    return state.st_dev, state.st_ino


def _refuse_second(written: set[tuple[int, int]], state: os.stat_result | None, path: str) -> None:
    """Two names of a container can be one here, where case or composition does not count."""
    if state is not None and _identity(state) in written:
        raise OSError(f"{path!r} is another file's name here, too")


def _is_own_folder(folder: Path) -> bool:
    state = folder.lstat()
    links = getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0) & getattr(state, "st_file_attributes", 0)
    return stat.S_ISDIR(state.st_mode) and not links
