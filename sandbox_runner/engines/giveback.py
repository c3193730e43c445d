"""What the agent gives back of a job, as hostile as all that comes from a container.

It was told the patterns and keeps the caps; here both are held against what arrives.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from sandbox_runner.agent import protocol
from sandbox_runner.agent.patterns import matches, plain
from sandbox_runner.agent.protocol import ProtocolError
from sandbox_runner.events import Artifact
from sandbox_runner.spec import Job

KINDS = (protocol.ARTIFACT, protocol.ARTIFACT_DATA, protocol.RETURNED)
_SIZE = 4  # bytes of the size ahead of the name


class GivenBack:
    """Gathers the files and the value of one job."""

    def __init__(self, job: Job) -> None:
        self.begun = False  # whether anything has arrived
        self._patterns = job.artifacts
        self._sent = {str(PurePosixPath(file.path)): file.data for file in job.files}
        self._files: dict[str, bytearray] = {}
        self._last = bytearray()
        self._missing = 0  # bytes of the last file that are yet to come
        self._total = 0
        self._value: bytearray | None = None if job.value is None else bytearray()

    @property
    def value(self) -> bytes | None:
        """What the program wrote to its value channel; None where that was nothing."""
        return bytes(self._value) if self._value else None

    def take(self, kind: int, body: bytes) -> None:
        """Takes in a frame of one of `KINDS`. Raises ProtocolError where it is not asked for, or too much."""
        self.begun = True
        if kind == protocol.ARTIFACT:
            self._begin(body)
        elif not body:
            raise ProtocolError("an empty piece of what is given back")
        elif kind == protocol.ARTIFACT_DATA:
            if len(body) > self._missing:
                raise ProtocolError("a file given back is longer than was said")
            self._last += body
            self._missing -= len(body)
        else:
            if self._value is None or len(self._value) + len(body) > protocol.MAX_VALUE:
                raise ProtocolError("a value that was not asked for, or is too long")
            self._value += body

    def artifacts(self) -> Iterator[Artifact]:
        """The files, but for those that were sent there and are still the same.

        Raises ProtocolError where the last one is not complete.
        """
        self._end()
        for name, data in self._files.items():
            if name not in self._sent or self._sent[name] != bytes(data):
                yield Artifact(name, bytes(data))

    def _begin(self, body: bytes) -> None:
        self._end()
        name = _name(body)
        if name in self._files or not any(matches(name, pattern) for pattern in self._patterns):
            raise ProtocolError("a file that was not asked for")
        size = int.from_bytes(body[:_SIZE], "big")
        self._total += size
        if size > protocol.MAX_ARTIFACT or self._total > protocol.MAX_ARTIFACT_BYTES:
            raise ProtocolError("more bytes of files than are allowed")
        if len(self._files) == protocol.MAX_ARTIFACTS:
            raise ProtocolError("more files than are allowed")
        self._last = self._files[name] = bytearray()
        self._missing = size

    def _end(self) -> None:
        if self._missing:
            raise ProtocolError("a file given back is shorter than was said")


def _name(body: bytes) -> str:
    try:
        name = body[_SIZE:].decode()
    except UnicodeDecodeError:
        name = ""
    if not plain(name):
        raise ProtocolError("a file without a plain name")
    return name
