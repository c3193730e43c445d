"""The frames that the host and the agent (PID 1) exchange on the container's stdin and stdout.

A frame is an 8-byte header, network byte order, and its payload:

    kind u8 · zero u8 · job u16 · length u32

``job`` numbers the jobs of one container from 1 (0: the container itself), so that
one container can serve several (sessions). Strings are bytes with a u32 length before
them; nothing here needs a parser that allocates by what the other side claims beyond
`MAX_PAYLOAD`. The channel is never half-closed: the program's end of input is the frame
STDIN_EOF, and end of file on the channel means that the host is gone.

Standard library only, and few imports: each costs every run its time to load.
"""

from struct import Struct

VERSION = 1
MAX_PAYLOAD = 1 << 20
HEADER = Struct(">BBHI")

# host to agent
FILE = 0x01  # u32 mode, then the path relative to the workspace; ends the file before it
FILE_DATA = 0x02  # bytes appended to that file
FILE_END = 0x03  # the last file is complete
JOB = 0x04  # Job: starts the program
STDIN = 0x05  # bytes for the program, never more than the credit in hand
STDIN_EOF = 0x06
SIGNAL = 0x07  # u8 signal number, to the main program's process group
CANCEL = 0x08  # ends the job; EXIT follows with cause CANCELLED
READ = 0x09  # reserved: a path whose file is answered as FILE, FILE_DATA, FILE_END

# agent to host
HELLO = 0x40  # u16 protocol version, u8 flags: the agent waits for a job
STARTED = 0x41  # the program runs
STDOUT = 0x42
STDERR = 0x43
CREDIT = 0x44  # u32 bytes of stdin that the program has taken: as many may follow
EXIT = 0x45  # Exit: the last frame of a job
FAILED = 0x46  # u8 stage, u32 errno, message: the job could not be started; the last frame of a job

HELLO_BODY = Struct(">HB")
UNDUMPABLE = 0x01  # flag of HELLO: prctl(PR_SET_DUMPABLE, 0) took effect

STDIN_WINDOW = 256 * 1024  # credit for stdin at the start of a job

# causes of EXIT
EXITED, SIGNALED, TIMED_OUT, CPU_LIMIT, OUTPUT_LIMIT, CANCELLED = range(6)
# stages of FAILED
STAGE_FILE, STAGE_EXEC, STAGE_PROTOCOL = range(3)

UNKNOWN = (1 << 64) - 1  # in an unsigned field of EXIT: the agent could not read it

JOB_LIMITS = Struct(">ddQ")  # wall seconds, CPU seconds, output bytes
EXIT_BODY = Struct(">BidQQIIIIQQ")


class ProtocolError(Exception):
    """The other side sent what this protocol does not allow."""


def frame(kind: int, job: int, payload: bytes = b"") -> bytes:
    """One frame, ready to be written."""
    return HEADER.pack(kind, 0, job, len(payload)) + payload


class Splitter:
    """Cuts a byte stream into frames.

    >>> splitter = Splitter()
    >>> splitter.feed(frame(STDIN, 1, b"hello")[:9]), splitter.feed(b"ello")
    ([], [(5, 1, b'hello')])
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """The frames completed by ``data`` as (kind, job, payload).

        Raises ProtocolError on a header that cannot be one.
        """
        buffer = self._buffer
        buffer += data
        frames = []
        position = 0
        while len(buffer) - position >= HEADER.size:
            kind, zero, job, length = HEADER.unpack_from(buffer, position)
            if zero or length > MAX_PAYLOAD:
                raise ProtocolError(f"bad frame header: kind {kind}, length {length}")
            end = position + HEADER.size + length
            if len(buffer) < end:
                break
            frames.append((kind, job, bytes(buffer[position + HEADER.size : end])))
            position = end
        del buffer[:position]
        return frames


def pack_strings(strings: list[bytes]) -> bytes:
    """A u32 count and the strings, each after its u32 length."""
    parts = [len(strings).to_bytes(4, "big")]
    for string in strings:
        parts += len(string).to_bytes(4, "big"), string
    return b"".join(parts)


def unpack_strings(data: bytes, position: int) -> tuple[list[bytes], int]:
    """The strings packed at ``position``, and the position after them.

    Raises ProtocolError where ``data`` is too short.
    """
    count, position = _u32(data, position)
    strings = []
    for _ in range(count):
        length, position = _u32(data, position)
        if position + length > len(data):
            raise ProtocolError("a string reaches past its frame")
        strings.append(data[position : position + length])
        position += length
    return strings, position


def _u32(data: bytes, position: int) -> tuple[int, int]:
    if position + 4 > len(data):
        raise ProtocolError("a frame ends within a number")
    return int.from_bytes(data[position : position + 4], "big"), position + 4


def pack_job(
    *, argv: list[bytes], env: list[bytes], cwd: bytes, wall_time: float, cpu_time: float, output: int
) -> bytes:
    """The payload of JOB. ``env`` holds NAME=VALUE strings; times are seconds, output bytes."""
    limits = JOB_LIMITS.pack(wall_time, cpu_time, output)
    return limits + pack_strings([cwd]) + pack_strings(argv) + pack_strings(env)


def unpack_job(data: bytes) -> dict[str, object]:
    """What `pack_job` packed, by its names.

    Raises ProtocolError where it is not that.
    """
    if len(data) < JOB_LIMITS.size:
        raise ProtocolError("a JOB is too short")
    wall_time, cpu_time, output = JOB_LIMITS.unpack_from(data)
    (cwd,), position = unpack_strings(data, JOB_LIMITS.size)
    argv, position = unpack_strings(data, position)
    env, position = unpack_strings(data, position)
    if position != len(data) or not argv:
        raise ProtocolError("a JOB is malformed")
    return {
        "argv": argv, "env": env, "cwd": cwd,
        "wall_time": wall_time, "cpu_time": cpu_time, "output": output,
    }  # fmt: skip


class Exit:
    """The payload of EXIT.

    ``cause`` is one of EXITED … CANCELLED; ``status`` the exit code (EXITED) or signal.
    ``wall_time`` is seconds, ``cpu_time`` nanoseconds, ``peak_memory`` and the output counts bytes.
    The counts are events during this job: OOM kills, forks refused by the pids limit, and
    1 where the workspace or /tmp had no byte or no inode left at the end.
    """

    FIELDS = (
        "cause", "status", "wall_time", "cpu_time", "peak_memory", "oom_kills",
        "pids_refused", "workspace_full", "tmp_full", "stdout_bytes", "stderr_bytes",
    )  # fmt: skip
    __slots__ = FIELDS

    cause: int
    status: int
    wall_time: float
    cpu_time: int
    peak_memory: int
    oom_kills: int
    pids_refused: int
    workspace_full: int
    tmp_full: int
    stdout_bytes: int
    stderr_bytes: int

    def __init__(self, **values: float) -> None:
        for name in self.FIELDS:
            setattr(self, name, values[name])

    def pack(self) -> bytes:
        return EXIT_BODY.pack(*(getattr(self, name) for name in self.FIELDS))

    @classmethod
    def unpack(cls, data: bytes) -> "Exit":
        """Raises ProtocolError where ``data`` is not an EXIT payload."""
        if len(data) != EXIT_BODY.size:
            raise ProtocolError(f"an EXIT of {len(data)} bytes")
        values = dict(zip(cls.FIELDS, EXIT_BODY.unpack(data), strict=True))
        if values["cause"] > CANCELLED:
            raise ProtocolError(f"an EXIT with cause {values['cause']}")
        return cls(**values)
