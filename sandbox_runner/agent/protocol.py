"""The frames that the host and the agent (PID 1) exchange on the container's stdin and stdout.

A frame is an 8-byte header, network byte order, and its payload:

    kind u8 · zero u8 · job u16 · length u32

``job`` numbers the jobs of one container from 1 (0: the container itself), so that
one container can serve several (sessions). Strings are bytes with a u32 length before
them; nothing here needs a parser that allocates by what the other side claims beyond
`MAX_PAYLOAD`. The channel is never half-closed: the program's end of input is the frame
STDIN_EOF, and end of file on the channel means that the host is gone.

A job is FILE, FILE_DATA, FILE_END and VALUE as often as needed, then JOB, all under the job's
number; then STDIN, STDIN_EOF, SIGNAL and CANCEL until EXIT or FAILED ends it. The host may send
them without waiting for an answer: what arrives for a job that is over is dropped. The next job
may begin once EXIT or FAILED has arrived.

Where HELLO has the flag WARM, an interpreter is up and waits. It runs the first job if that is the
container's own command, environment (names, values, order) and folder, has no VALUE, and brings no
packages in `.local`. Any other job ends it and is started like every later one; nothing else differs.
Before it, under the first job's number, the host may send PRELOAD once, and wait for PRELOADED.
A job whose workspace holds a name of a module that this brought in is not run by it either.

Where there was a VALUE, be it an empty one, the program has a value channel: what was sent is
on its descriptor 3, and what it writes to descriptor 4 goes back. Between the last output and
EXIT, when no process is left, come RETURNED (as often as needed; none where nothing was written,
or more than `MAX_RETURNED`) and, for each file below the workspace that is new or altered since JOB and
whose path fits one of its patterns, ARTIFACT and as much ARTIFACT_DATA as it said. Only regular files
with plain paths (see `patterns`), within the JOB's caps, and however the program ended; of their modes no
more is told than whether they are programs.

A JOB with the flag SESSION leaves the container's other processes alive: its end kills the program's own
process group only. Where it names a kernel as well, its code is the VALUE, and a kernel of that name runs
it: a process that the first job for it starts by its command, and that later ones find with all its
state; see `pid1/kernel.c`. What it displays goes back at once, as RETURNED: JSON lines, of which the last
may be unfinished. CANCEL, and every limit, first interrupts such a job (SIGINT) and only after `GRACE`, or
at a second CANCEL, kills its kernel; EXIT tells by ``state_lost`` where one is gone.

`pid1/protocol.h` has the same numbers for PID 1. Few imports here: each costs every run its time to load.
"""

from _struct import Struct  # what `struct` wraps

VERSION = 4
MAX_PAYLOAD = 1 << 20
MAX_SECONDS = 1e9
HEADER = Struct(">BBHI")

# host to agent
FILE = 0x01  # u32 mode, then the path relative to the workspace; ends the file before it
FILE_DATA = 0x02  # bytes appended to that file
FILE_END = 0x03  # the last file is complete
JOB = 0x04  # Job: starts the program
STDIN = 0x05  # bytes for the program, never more than the credit in hand
STDIN_EOF = 0x06
SIGNAL = 0x07  # u8 signal number, to the main program's process group
CANCEL = 0x08  # ends the job, or interrupts it; EXIT follows with cause CANCELLED
READ = 0x09  # reserved: a path whose file is answered as FILE, FILE_DATA, FILE_END
VALUE = 0x0A  # bytes appended to what the program finds on its value channel
PRELOAD = 0x0B  # names of modules, with blanks between: imports them in the waiting interpreter

# agent to host
HELLO = 0x40  # u16 protocol version, u8 flags: the agent waits for a job
STARTED = 0x41  # u8 flags: the program runs
STDOUT = 0x42
STDERR = 0x43
CREDIT = 0x44  # u32 bytes of stdin that the program has taken: as many may follow
EXIT = 0x45  # Exit: the last frame of a job
FAILED = 0x46  # u8 stage, u32 errno, message: the job was not run; the last frame of a job
ARTIFACT = 0x47  # u64 size, u8 flags, then the plain path of a file that is given back
ARTIFACT_DATA = 0x48  # bytes of that file, never more than its size
RETURNED = 0x49  # bytes that the program wrote to its value channel
PRELOADED = 0x4A  # u8 flags: the modules are loaded, as far as they can be; no WARM where nothing waits

HELLO_BODY = Struct(">HB")
UNDUMPABLE = 0x01  # flag of HELLO: prctl(PR_SET_DUMPABLE, 0) took effect
WARM = 0x02  # flag of HELLO: an interpreter waits for the first job; of STARTED: it is what runs this one
FAILED_BODY = Struct(">BI")  # the message follows
ARTIFACT_BODY = Struct(">QB")  # the path follows
EXECUTABLE = 0x01  # flag of ARTIFACT: its owner may execute it

STDIN_WINDOW = 256 * 1024  # credit for stdin at the start of a job
MAX_VALUE = 1 << 20  # bytes of the value that a program finds
MAX_RETURNED = 8 << 20  # and of what it writes
MAX_PATTERNS = 32
MAX_PRELOAD = 1024  # bytes of the names of modules
MAX_KERNELS = 16
GRACE = 2  # seconds that a kernel has to end a job which is interrupted
MAX_ENTRIES = 1 << 15  # of the workspace that are looked at; what is beyond counts as the last

# causes of EXIT
EXITED, SIGNALED, TIMED_OUT, CPU_LIMIT, OUTPUT_LIMIT, CANCELLED = range(6)
# stages of FAILED
STAGE_FILE, STAGE_EXEC, STAGE_PROTOCOL = range(3)  # after STAGE_PROTOCOL the agent exits

SESSION = 0x01  # flag of JOB: other processes live on
# flags, wall seconds, CPU seconds, output bytes; files given back, bytes of one, of all
JOB_LIMITS = Struct(">BddQIQQ")
EXIT_BODY = Struct(">BidQQQQQQQQQQ")
_UNKNOWN = (1 << 64) - 1  # in an unsigned number of EXIT: None


class ProtocolError(Exception):
    """The other side sent what this protocol does not allow."""


def frame(kind: int, job: int, payload: bytes = b"") -> bytes:
    """One frame, ready to be written."""
    return HEADER.pack(kind, 0, job, len(payload)) + payload


class Splitter:
    """Cuts a byte stream into frames. Holds less than one frame between calls.

    >>> splitter = Splitter()
    >>> splitter.feed(frame(STDIN, 1, b"hello")[:9]), splitter.feed(b"ello")
    ([], [(5, 1, b'hello')])
    """

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """The frames completed by ``data`` as (kind, job, payload).

        Raises ProtocolError on a header that cannot be one; what it is fed later means nothing.
        """
        self._buffer += data
        frames = []
        position = 0
        with memoryview(self._buffer) as view:
            while len(view) - position >= HEADER.size:
                kind, zero, job, length = HEADER.unpack_from(view, position)
                if zero or length > MAX_PAYLOAD:
                    raise ProtocolError(f"bad frame header: kind {kind}, length {length}")
                start = position + HEADER.size
                if len(view) < start + length:
                    break
                frames.append((kind, job, bytes(view[start : start + length])))
                position = start + length
        del self._buffer[:position]
        return frames


def pack_strings(strings: list[bytes]) -> bytes:
    """A u32 count and the strings, each after its u32 length."""
    parts = [len(strings).to_bytes(4, "big")]
    for string in strings:
        parts += len(string).to_bytes(4, "big"), string
    return b"".join(parts)


def pack_job(
    *,
    argv: list[bytes],
    env: list[bytes],
    cwd: bytes,
    wall_time: float,
    cpu_time: float,
    output: int,
    artifacts: list[bytes],
    artifact_count: int = 0,
    artifact_size: int = 0,
    artifact_bytes: int = 0,
    session: bool = False,
    kernel: bytes = b"",
) -> bytes:
    """The payload of JOB. ``env`` holds NAME=VALUE strings, ``artifacts`` patterns of paths.

    Times are seconds, output bytes. The other three cap the files given back: their count, the bytes of
    one, and those of all. ``kernel`` is empty where no kernel is to run it.
    """
    flags = SESSION if session else 0
    caps = artifact_count, artifact_size, artifact_bytes
    limits = JOB_LIMITS.pack(flags, wall_time, cpu_time, output, *caps)
    return limits + b"".join(map(pack_strings, ([cwd, kernel], argv, env, artifacts)))


class Exit:
    """The payload of EXIT.

    ``cause`` is one of EXITED … CANCELLED; ``status`` the exit code (EXITED), the signal
    (SIGNALED), or 0. ``wall_time`` is seconds from JOB until the main program was over,
    ``cpu_time`` nanoseconds of all processes of the job, ``peak_memory`` bytes since the
    container started, and the output counts bytes that were sent.
    The others count events during this job: OOM kills, forks refused by the pids limit, and
    1 where the workspace or /tmp had no byte or no inode left at the end. ``artifacts_omitted``
    counts what fits a pattern and is not given back, and as one each folder that could not be looked into,
    and the rest where there are more entries than MAX_ENTRIES.
    ``state_lost`` is 1 where the job's kernel has ended, during the job or before it.
    None is what the agent could not find out.
    """

    FIELDS = (
        "cause", "status", "wall_time", "cpu_time", "peak_memory", "oom_kills",
        "pids_refused", "workspace_full", "tmp_full", "stdout_bytes", "stderr_bytes",
        "artifacts_omitted", "state_lost",
    )  # fmt: skip
    __slots__ = FIELDS

    cause: int
    status: int
    wall_time: float
    cpu_time: int | None
    peak_memory: int | None
    oom_kills: int | None
    pids_refused: int | None
    workspace_full: int | None
    tmp_full: int | None
    stdout_bytes: int
    stderr_bytes: int
    artifacts_omitted: int
    state_lost: int

    def __init__(self, **values: float | None) -> None:
        for name in self.FIELDS:
            setattr(self, name, values[name])

    def pack(self) -> bytes:
        """The payload."""
        values = [getattr(self, name) for name in self.FIELDS]
        return EXIT_BODY.pack(*(_UNKNOWN if value is None else value for value in values))

    @classmethod
    def unpack(cls, data: bytes) -> "Exit":
        """Raises ProtocolError where ``data`` is not an EXIT payload."""
        if len(data) != EXIT_BODY.size:
            raise ProtocolError(f"an EXIT of {len(data)} bytes")
        values = [None if value == _UNKNOWN else value for value in EXIT_BODY.unpack(data)]
        end = cls(**dict(zip(cls.FIELDS, values, strict=True)))
        if end.cause > CANCELLED or end.stdout_bytes is None or end.stderr_bytes is None:
            raise ProtocolError(f"an EXIT with cause {end.cause}")
        if not 0 <= end.wall_time <= MAX_SECONDS:  # nor is it, where it is not a number
            raise ProtocolError(f"an EXIT after {end.wall_time} seconds")
        if end.artifacts_omitted is None or end.artifacts_omitted > MAX_ENTRIES:
            raise ProtocolError("an EXIT that leaves out more files than it looked at")
        if end.state_lost not in (0, 1):
            raise ProtocolError("an EXIT that does not tell whether state was lost")
        return end
