"""What happens during a run, in order: Started, then Output and Truncated, then Artifact, then Exited.

The output of a compiler, all of it, is the stream ``compiler``; the program's own comes after it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sandbox_runner.media_types import HEAD, media_type

Stream = Literal["stdout", "stderr", "compiler"]
STREAMS: tuple[Stream, ...] = ("stdout", "stderr", "compiler")
Status = Literal[
    "exited", "signaled", "timed_out", "out_of_memory", "cpu_limit", "output_limit", "cancelled",
    "compile_failed",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run used. Seconds and bytes; None where the engine could not tell."""

    wall_time: float
    cpu_time: float | None = None
    peak_memory: int | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    """The container is up and the program, or its compiler, begins."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes that were written to ``stream``; ``offset`` counts the stream's bytes before them.

    ``text`` is the same, decoded incrementally as UTF-8 with replacement: a character
    split between two events is in the second.
    """

    stream: Stream
    data: bytes
    offset: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Truncated:
    """The consumer was too slow: ``dropped`` bytes of ``stream`` from ``offset`` on are not delivered."""

    stream: Stream
    offset: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of the workspace that the program made or altered.

    ``path`` is relative to the workspace and plain: nothing in it leads elsewhere. ``size`` is in bytes,
    ``sha256`` the digest in hexadecimal digits, ``type`` a MIME type, by the name and the first bytes.
    Where the request named a folder the bytes are in ``file``, else in ``content``. ``executable`` is all
    that is kept of its mode.
    """

    path: str
    content: bytes | None = field(default=None, repr=False)
    file: Path | None = None
    size: int = -1
    sha256: str = ""
    type: str = ""
    executable: bool = False

    def __post_init__(self) -> None:
        content = self.content
        if content is not None and not self.sha256:
            object.__setattr__(self, "size", len(content))
            object.__setattr__(self, "sha256", hashlib.sha256(content).hexdigest())
            object.__setattr__(self, "type", media_type(self.path, content[:HEAD]))

    @property
    def data(self) -> bytes:
        """The bytes, read from ``file`` where they are there. Raises OSError."""
        if self.content is not None:
            return self.content
        assert self.file is not None
        return self.file.read_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """The program is over: ``exit_code`` or ``signal`` is set, or neither where a limit ended it.

    ``reason`` adds a word where the status alone does not tell, such as ``sandbox_broken``.
    ``limits_hit`` names each limit that was met, with its count. ``value`` is what the program
    gave back on its value channel, unchecked; None where it gave nothing. ``artifacts_omitted``
    counts the files that were asked for, and there, but could not be given back. ``compile`` is how the
    compiler ended, where there was one; with the status ``compile_failed`` the rest tells of it as well.

    In a session ``state_lost`` tells that the kernel has ended, with its variables: the next code starts
    another, or this one did, as the kernel had ended before it; ``reason`` is ``kernel_restarted`` then.
    """

    status: Status
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    usage: Usage
    limits_hit: Mapping[str, int] = field(default_factory=dict)
    value: bytes | None = None
    artifacts_omitted: int = 0
    compile: "Exited | None" = None
    state_lost: bool = False


Event = Started | Output | Truncated | Artifact | Exited
