"""What goes back when no process is left: the value, then files of the workspace that the program changed.

A program may have put anything there: no link is followed, nothing but a regular file is read,
and neither the number of entries nor their sizes decide how long it takes.
"""

import posix

from . import protocol
from .channel import Channel
from .patterns import plain_path
from .stdio import BUFFER
from .tree import Tree, open_file
from .value import Value

TYPE_CHECKING = False  # as in `typing`, which costs a run its time to load
if TYPE_CHECKING:
    from collections.abc import Iterator

    Frames = Iterator[tuple[int, bytes | memoryview]]

_MAX_LISTED = 1 << 20  # bytes of the paths of all files that go back: the memory is the program's


class GiveBack:
    """The frames between a job's last output and its EXIT. To be made before the program starts.

    ``omitted`` counts what fits a pattern and does not go back; a folder too deep or barred counts as one,
    and so does the rest of a workspace with more entries than are looked at.
    """

    __slots__ = ("_folder", "_frames", "_job", "_tree", "_value", "omitted")

    def __init__(self, job: protocol.Job, *, folder: int, value: Value) -> None:
        self.omitted = 0
        self._job = job
        self._folder = folder
        self._tree = Tree(folder, [pattern.decode() for pattern in job.artifacts])
        self._tree.note()
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
        yield from self._artifacts()

    def _artifacts(self) -> "Frames":
        room, left = self._job.artifact_count, self._job.artifact_bytes
        for path in self._paths():
            file, size, executable = open_file(self._folder, path) if room else (-1, 0, False)
            if file < 0 or size > min(left, self._job.artifact_size):
                self.omitted += 1
            else:
                room, left = room - 1, left - size
                flags = protocol.EXECUTABLE if executable else 0
                yield protocol.ARTIFACT, protocol.ARTIFACT_BODY.pack(size, flags) + path.encode()
                yield from _contents(protocol.ARTIFACT_DATA, file, size)
            if file >= 0:
                posix.close(file)

    def _paths(self) -> list[str]:
        """The shorter ones first: figure-9 before figure-10."""
        paths: list[str] = []
        left = _MAX_LISTED
        for path, regular in self._tree.changed():
            left -= len(path)
            if regular and left >= 0 and plain_path(path):
                paths.append(path)
            else:
                self.omitted += 1
        return sorted(paths, key=lambda path: (len(path), path))


def _contents(kind: int, file: int, size: int) -> "Frames":
    position = 0
    while position < size:
        piece = BUFFER[: size - position]
        count = posix.preadv(file, [piece], position)
        if not count:  # in a session somebody may have shortened it, but its size is told already
            piece[:] = bytes(len(piece))
            count = len(piece)
        position += count
        yield kind, piece[:count]
