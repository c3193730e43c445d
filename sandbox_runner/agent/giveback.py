"""What goes back when no process is left: the value, then files from the top of the workspace.

A program may have put anything there: no link is followed, nothing but a regular file is read,
and neither the number of entries nor their sizes decide how long it takes.
"""

import posix

from . import protocol
from .channel import Channel
from .patterns import matches, plain
from .stdio import BUFFER
from .value import Value

TYPE_CHECKING = False  # as in `typing`, which costs a run its time to load
if TYPE_CHECKING:
    from collections.abc import Iterator

    Frames = Iterator[tuple[int, bytes | memoryview]]

_READ = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC
_FORMAT, _REGULAR = 0o170000, 0o100000


class GiveBack:
    """The frames between a job's last output and its EXIT. ``omitted`` counts files that do not go back."""

    __slots__ = ("_folder", "_frames", "_patterns", "_value", "omitted")

    def __init__(self, patterns: list[bytes], *, folder: int, value: Value) -> None:
        self.omitted = 0
        self._patterns = [pattern.decode() for pattern in patterns]
        self._folder = folder
        self._value = value
        self._frames = self._all()

    def pump(self, channel: Channel, *, job: int) -> bool:
        """Sends as much as the host takes; whether all is sent. Raises EOFError."""
        while channel.clear:
            frame = next(self._frames, None)
            if frame is None:
                return True
            channel.send(frame[0], job, frame[1])
        return False

    def _all(self) -> "Frames":
        yield from _contents(protocol.RETURNED, self._value.returned, self._value.size())
        self._value.close()
        if self._patterns:
            yield from self._artifacts()

    def _artifacts(self) -> "Frames":
        room, left = protocol.MAX_ARTIFACTS, protocol.MAX_ARTIFACT_BYTES
        for name in self._names():
            file, size = _open(name, folder=self._folder) if room else (-1, 0)
            if file < 0 or size > min(left, protocol.MAX_ARTIFACT):
                self.omitted += 1
            else:
                room, left = room - 1, left - size
                yield protocol.ARTIFACT, size.to_bytes(4, "big") + name.encode()
                yield from _contents(protocol.ARTIFACT_DATA, file, size)
            if file >= 0:
                posix.close(file)

    def _names(self) -> list[str]:
        """The shorter ones first: figure-9 before figure-10."""
        names: list[str] = []
        try:
            with posix.scandir(self._folder) as entries:
                for _, entry in zip(range(protocol.MAX_ENTRIES), entries, strict=False):
                    self._look_at(entry.name, entry.is_file(follow_symlinks=False), names)
        except OSError:  # the program can bar us from its folder, and lower our limit of open files
            pass
        return sorted(names, key=lambda name: (len(name), name))

    def _look_at(self, name: str, regular: bool, names: list[str]) -> None:
        if not regular or not any(matches(name, pattern) for pattern in self._patterns):
            return
        if plain(name):
            names.append(name)
        else:
            self.omitted += 1


def _open(name: str, *, folder: int) -> tuple[int, int]:
    """A descriptor of the regular file ``name`` and its size, or -1."""
    try:
        file = posix.open(name, _READ, dir_fd=folder)
    except OSError:
        return -1, 0
    state = posix.fstat(file)
    if state.st_mode & _FORMAT != _REGULAR:
        posix.close(file)
        return -1, 0
    return file, state.st_size


def _contents(kind: int, file: int, size: int) -> "Frames":
    position = 0
    while position < size:
        count = posix.preadv(file, [BUFFER[: size - position]], position)
        if not count:  # nobody is left to shorten it; the host notices
            return
        position += count
        yield kind, BUFFER[:count]
