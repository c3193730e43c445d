"""What lies below the workspace, as hostile as those who put it there.

No link is followed, and fewer entries are looked at than `protocol.MAX_ENTRIES`, no deeper than
`patterns.MAX_DEPTH`: a folder below, or one that is barred, is an entry itself, and so is all the rest.
What was there before a program is known by its inode, size and times.
"""

import posix
from time import time_ns

from .patterns import MAX_DEPTH, fits, leads_to
from .protocol import MAX_ENTRIES

TYPE_CHECKING = False  # as in `typing`, which costs a run its time to load
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Entries = Iterator[tuple[str, str, int]]

FOLDER = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
_READ = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC
_FORMAT, _REGULAR, _EXECUTABLE = 0o170000, 0o100000, 0o100
_FRESH = 50_000_000  # nanoseconds: within so many after a change the next one may have the same time


class Tree:
    """The entries below ``folder``, a descriptor, whose paths fit one of ``patterns``."""

    __slots__ = ("_cut", "_folder", "_known", "_left", "_patterns")

    def __init__(self, folder: int, patterns: list[str]) -> None:
        self._folder = folder
        self._patterns = patterns
        self._known: set[int] = set()
        self._left = 0
        self._cut = False

    def note(self) -> None:
        """Takes what is there now for known."""
        now = time_ns()
        for path, name, folder in self._entries():
            state = _state(name, folder)
            if state and state.st_mtime_ns > now - _FRESH:
                state = _aged(name, state, folder)
            if state:
                self._known.add(_mark(path, state))

    def changed(self) -> "Iterator[tuple[str, bool]]":
        """The path of each entry that is new or altered since, and whether it is a regular file.

        Where there are more entries than are looked at, one without a path stands for the rest.
        """
        for path, name, folder in self._entries():
            try:
                state = posix.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:  # another process of a session has removed it
                continue
            except OSError:  # the program has barred its folder
                yield path, False
                continue
            if _mark(path, state) not in self._known:
                yield path, state.st_mode & _FORMAT == _REGULAR
        if self._cut:
            yield "", False

    def _entries(self) -> "Entries":
        """The path of each, its name, and the descriptor of its folder.

        A folder is one only where it cannot be looked into.
        """
        self._left = MAX_ENTRIES - 1
        self._cut = False
        if self._patterns:
            yield from self._below(self._folder, "", MAX_DEPTH)

    def _below(self, folder: int, prefix: str, depth: int) -> "Entries":
        folders = []
        try:
            with posix.scandir(folder) as entries:
                for entry in entries:
                    if not self._left:
                        self._cut = True
                        return
                    self._left -= 1
                    path = prefix + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        folders += [entry.name] if self._wants(path, leads_to) else []
                    elif self._wants(path, fits):
                        yield path, entry.name, folder
        except OSError:  # the program can bar us from its folder, and lower our limit of open files
            return
        for name in folders:
            yield from self._inside(folder, name, prefix, depth)

    def _inside(self, folder: int, name: str, prefix: str, depth: int) -> "Entries":
        inner = _open_folder(name, folder) if depth > 1 else -1
        if inner < 0:
            yield prefix + name, name, folder
            return
        try:
            yield from self._below(inner, f"{prefix}{name}/", depth - 1)
        finally:
            posix.close(inner)

    def _wants(self, path: str, fitting: "Callable[[str, str], bool]") -> bool:
        return any(fitting(path, pattern) for pattern in self._patterns)


def open_file(folder: int, path: str) -> tuple[int, int, bool]:
    """A descriptor of the regular file at ``path`` below ``folder``, or -1.

    Beside it its size, and whether its owner may execute it.
    """
    *folders, name = path.split("/")
    inner = -1
    try:
        inner = posix.dup(folder)
        for part in folders:
            outer, inner = inner, posix.open(part, FOLDER, dir_fd=inner)
            posix.close(outer)
        file = posix.open(name, _READ, dir_fd=inner)
    except OSError:
        return -1, 0, False
    finally:
        if inner >= 0:
            posix.close(inner)
    state = posix.fstat(file)
    if state.st_mode & _FORMAT != _REGULAR:
        posix.close(file)
        return -1, 0, False
    return file, state.st_size, bool(state.st_mode & _EXECUTABLE)


def _open_folder(name: str, folder: int) -> int:
    try:
        return posix.open(name, FOLDER, dir_fd=folder)
    except OSError:  # barred, replaced since, or our limit of open files is reached
        return -1


def _state(name: str, folder: int) -> "posix.stat_result | None":
    try:
        return posix.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:  # removed by another process of a session, or barred
        return None


def _aged(name: str, state: posix.stat_result, folder: int) -> "posix.stat_result | None":
    """``state`` with a time of change that no later change can have: one nanosecond before.

    The kernel's clock moves in steps of milliseconds, and a program that is up already is faster.
    """
    times = state.st_atime_ns, state.st_mtime_ns - 1
    try:
        posix.utime(name, ns=times, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
    return _state(name, folder)


def _mark(path: str, state: posix.stat_result) -> int:
    """A number that stands for all of it: thousands of paths would take memory that is the program's."""
    return hash((path, state.st_ino, state.st_mode, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
