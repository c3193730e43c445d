"""What the agent gives back of a job, as hostile as all that comes from a container.

It was told the patterns and keeps the caps; here both are held against what arrives. A file goes piece by
piece to where it is to be: memory, or the folder that the job names. Nothing has its place there
before all is complete.
"""

import os
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from stat import S_IXUSR
from types import TracebackType
from typing import Any

from sandbox_runner.agent import protocol
from sandbox_runner.agent.patterns import fits, plain_path
from sandbox_runner.agent.protocol import ProtocolError
from sandbox_runner.events import Artifact
from sandbox_runner.media_types import HEAD, media_type
from sandbox_runner.outbox import Outbox
from sandbox_runner.spec import Job

KINDS = (protocol.ARTIFACT, protocol.ARTIFACT_DATA, protocol.RETURNED)


@dataclass(slots=True)
class _File:
    """A file that arrives: to memory, or to a descriptor; with neither it is not kept."""

    path: str
    size: int
    missing: int
    executable: bool = False
    name: str = ""
    data: bytearray | None = None
    descriptor: int = -1
    head: bytes = b""
    hash: Any = field(default_factory=sha256)

    @property
    def kept(self) -> bool:
        return self.data is not None or bool(self.name)

    def take(self, body: bytes) -> None:
        """Raises OSError where there is no place for it."""
        self.missing -= len(body)
        self.hash.update(body)
        if len(self.head) < HEAD:
            self.head += body[: HEAD - len(self.head)]
        if self.data is not None:
            self.data += body
        left = memoryview(body)
        while self.descriptor >= 0 and left:
            left = left[os.write(self.descriptor, left) :]

    def close(self) -> None:
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)


class GivenBack:
    """Gathers the files and the value of one job. A context: what has no place at its end is removed.

    ``omitted`` counts files that arrived, and that this machine could not take.
    Raises InvalidRequest where the job's folder cannot be written to.
    """

    def __init__(self, job: Job) -> None:
        self.begun = False  # whether anything has arrived that comes at the end
        self.omitted = 0
        self._lines = job.kernel is not None
        self._patterns = job.artifacts
        self._caps = job.artifact_caps
        self._sent = {str(PurePosixPath(file.path)): file for file in job.files}
        self._files: dict[str, _File] = {}
        self._last: _File | None = None  # until it is complete
        self._total = 0
        self._value: bytearray | None = None if job.value is None else bytearray()
        self._outbox = Outbox(job.out) if job.out is not None else None

    def __enter__(self) -> "GivenBack":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._last is not None:
            self._last.close()
        if self._outbox is not None:
            self._outbox.close()

    @property
    def value(self) -> bytes | None:
        """What the program wrote to its value channel; None where that was nothing. Of a kernel, lines."""
        if self._value and self._lines:
            return bytes(self._value[: self._value.rfind(b"\n") + 1]) or None
        return bytes(self._value) if self._value else None

    def take(self, kind: int, body: bytes) -> None:
        """Takes in a frame of one of `KINDS`. Raises ProtocolError where it is not asked for, or too much."""
        self.begun |= not self._lines or kind != protocol.RETURNED  # a kernel shows what it has at any time
        if kind == protocol.ARTIFACT:
            self._begin(body)
        elif not body:
            raise ProtocolError("an empty piece of what is given back")
        elif kind == protocol.ARTIFACT_DATA:
            self._add(body)
        else:
            if self._value is None or len(self._value) + len(body) > protocol.MAX_RETURNED:
                raise ProtocolError("a value that was not asked for, or is too long")
            self._value += body

    def artifacts(self) -> list[Artifact]:
        """The files, each where it is to be, but for those that were sent there and are still the same.

        Raises ProtocolError where the last one is not complete.
        """
        if self._last is not None:
            raise ProtocolError("a file given back is shorter than was said")
        artifacts = []
        for file in self._files.values():
            artifact = None if self._is_as_sent(file) else self._delivered(file)
            if artifact is not None:
                artifacts.append(artifact)
        return artifacts

    def _begin(self, body: bytes) -> None:
        if self._last is not None:
            raise ProtocolError("a file given back is shorter than was said")
        size, executable, path = _header(body)
        if path in self._files or not any(fits(path, pattern) for pattern in self._patterns):
            raise ProtocolError("a file that was not asked for")
        self._total += size
        if size > self._caps.size or self._total > self._caps.total:
            raise ProtocolError("more bytes of files than are allowed")
        if len(self._files) >= self._caps.count:
            raise ProtocolError("more files than are allowed")
        self._last = self._files[path] = self._opened(_File(path, size, size, executable))
        self._end_when_complete()

    def _opened(self, file: _File) -> _File:
        if self._outbox is None:
            file.data = bytearray()
            return file
        name = str(len(self._files))
        try:
            file.descriptor = self._outbox.begin(name, executable=file.executable)
            file.name = name
        except OSError:
            self.omitted += 1
        return file

    def _add(self, body: bytes) -> None:
        file = self._last
        if file is None or len(body) > file.missing:
            raise ProtocolError("a file given back is longer than was said")
        try:
            file.take(body)
        except OSError:  # the disk is full: the file is left out, and the others may fit
            self._leave_out(file)
        self._end_when_complete()

    def _end_when_complete(self) -> None:
        file = self._last
        if file is None or file.missing:
            return
        self._last = None
        try:
            file.close()
        except OSError:  # some file systems say only now that there is no space
            self._leave_out(file)

    def _leave_out(self, file: _File) -> None:
        with suppress(OSError):
            file.close()
        if self._outbox is not None:
            with suppress(OSError):
                self._outbox.drop(file.name)
        file.name = ""
        self.omitted += 1

    def _is_as_sent(self, file: _File) -> bool:
        sent = self._sent.get(file.path)
        if sent is None or bool(sent.mode & S_IXUSR) != file.executable:
            return False
        digest: bytes = file.hash.digest()
        return sha256(sent.data).digest() == digest

    def _delivered(self, file: _File) -> Artifact | None:
        place: Path | None = None
        if not file.kept:
            return None
        if self._outbox is not None:
            try:
                place = self._outbox.put(file.name, file.path)
            except OSError:  # a folder or a link is there, or the name means something else on this machine
                self.omitted += 1
                return None
        return Artifact(
            file.path,
            None if file.data is None else bytes(file.data),
            file=place,
            size=file.size,
            sha256=file.hash.hexdigest(),
            type=media_type(file.path, file.head),
            executable=file.executable,
        )


def _header(body: bytes) -> tuple[int, bool, str]:
    """The size of a file that is given back, whether it is executable, and its path."""
    try:
        size, flags = protocol.ARTIFACT_BODY.unpack_from(body)
        path = body[protocol.ARTIFACT_BODY.size :].decode()
    except (struct.error, UnicodeDecodeError):
        raise ProtocolError("a file without a plain path") from None
    if flags & ~protocol.EXECUTABLE:
        raise ProtocolError("a file with a flag that means nothing")
    if not plain_path(path):
        raise ProtocolError("a file without a plain path")
    return size, bool(flags), path
