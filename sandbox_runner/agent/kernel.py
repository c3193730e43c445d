"""A kernel: a process that runs one piece of code after another and keeps what they leave behind.

On its descriptor 3 it reads, for each job, a line and then as many bytes of code as that says:

    __run__ JOB LENGTH

On its descriptor 4 it writes lines, of which the first is followed by as many bytes as it says:

    show JOB LENGTH        a display: one line of JSON
    done JOB CODE          the end of the job, with its exit code; all that it printed is in the pipes

Its standard streams are the same pipes for all jobs. Each job has its own standard input nevertheless:
the pipe's writing end is closed for the end of input, and opened again for the next job.

What comes from descriptor 4 may come from the program that the kernel runs: nothing but these two lines
is taken, of the running job alone, and whatever else is there ends the kernel.
"""

import posix

from . import protocol
from .program import Program, close, spawn
from .protocol import Job, ProtocolError
from .stdio import BUFFER, Output

CODE, MESSAGES = 3, 4  # the kernel's descriptors
_LONGEST_LINE = 40  # bytes
_ROUNDS = 16  # reads of what a former job has left on its standard input: as much as a pipe can hold
_CODES = 256


class Messages:
    """Cuts what a kernel writes into displays and the ends of jobs. Holds less than one line.

    >>> messages = Messages()
    >>> messages.begin(7)
    >>> list(messages.feed(b"show 7 2\\n{}done 7 0"))
    [b'{}', b'\\n']
    >>> list(messages.feed(b"\\n")), messages.code
    ([], 0)
    """

    __slots__ = ("_dropped", "_job", "_left", "_line", "_room", "code")

    def __init__(self) -> None:
        self.code = -1  # of the job that is done
        self._line = b""
        self._job = 0
        self._left = 0  # bytes of the display that are still to come
        self._dropped = False  # whether they go nowhere
        self._room = 0  # bytes that may still be shown

    def begin(self, job: int) -> None:
        """From here on this job is the one. What is left of a former one's display is dropped."""
        self.code = -1
        self._job = job
        self._dropped = True
        self._room = protocol.MAX_RETURNED

    def feed(self, data: memoryview | bytes) -> "list[memoryview | bytes]":
        """The pieces of displays in ``data``, a newline after each display; ``code`` is set at the end.

        Raises ProtocolError where there is anything else.
        """
        pieces: list[memoryview | bytes] = []
        position = 0
        while position < len(data):
            if self._left:
                piece = data[position : position + self._left]
                position += len(piece)
                self._left -= len(piece)
                if not self._dropped:
                    pieces.append(piece)
                    if not self._left:
                        pieces.append(b"\n")
            else:
                position += self._take_line(bytes(data[position : position + _LONGEST_LINE]))
        return pieces

    def _take_line(self, data: bytes) -> int:
        line, newline, _ = data.partition(b"\n")
        held, self._line = self._line + line, b""
        if len(held) > _LONGEST_LINE:
            raise ProtocolError("a message of a kernel that is too long")
        if newline:
            self._read(held.split(b" "))
        else:
            self._line = held
        return len(line) + len(newline)

    def _read(self, words: list[bytes]) -> None:
        numbers = [int(word) for word in words[1:] if word.isdigit() and len(word) <= 10]
        if len(numbers) != 2 or len(words) != 3 or self.code >= 0:
            raise ProtocolError("a message of a kernel that is none")
        job, number = numbers
        if words[0] == b"show" and job <= self._job and number <= protocol.MAX_RETURNED:
            self._left = number
            self._dropped = job != self._job or number >= self._room
            self._room -= 0 if self._dropped else number + 1
        elif words[0] == b"done" and job == self._job and number < _CODES:
            self.code = number
        else:
            raise ProtocolError("a message of a kernel out of place")


class Kernel:
    """One kernel, from its start to its end: our ends of its pipes. ``ended`` is its wait status, if any."""

    __slots__ = ("_stdin_reader", "code_pipe", "ended", "message_pipe", "messages", "outputs", "program")

    def __init__(self, program: Program, *, code_pipe: int, message_pipe: int) -> None:
        self.program = program
        self.code_pipe = code_pipe
        self.message_pipe = message_pipe
        self.messages = Messages()
        self.outputs = (Output(protocol.STDOUT, program.stdout), Output(protocol.STDERR, program.stderr))
        self.ended = -1
        self._stdin_reader = _opened_again(program.stdin, posix.O_RDONLY)

    def begin(self, job: int) -> int:
        """Makes it ready for ``job``. A descriptor for its standard input, or -1."""
        self.messages.begin(job)
        for output in self.outputs:
            output.sent = 0
        stdin, self.program.stdin = self.program.stdin, -1
        if stdin >= 0:
            return stdin
        _drain(self._stdin_reader)
        return _opened_again(self._stdin_reader, posix.O_WRONLY)

    def close(self) -> None:
        """Closes all pipes, when it is not to be talked to any more."""
        pipes = [self.code_pipe, self.message_pipe, self._stdin_reader, self.program.stdin]
        close([pipe for pipe in pipes if pipe >= 0])
        self.code_pipe = self.message_pipe = self._stdin_reader = self.program.stdin = -1
        for output in self.outputs:
            output.close()


def start_kernel(job: Job, *, home: int, oom_score: int) -> Kernel:
    """Starts the kernel that ``job`` describes; arguments as of `spawn`. Raises OSError."""
    theirs_code, code = posix.pipe2(posix.O_CLOEXEC)
    messages, theirs_messages = posix.pipe2(posix.O_CLOEXEC)
    try:
        descriptors = [(theirs_code, CODE), (theirs_messages, MESSAGES)]
        program = spawn(job, descriptors, home=home, oom_score=oom_score)
    except OSError:
        close([code, messages])
        raise
    finally:
        close([theirs_code, theirs_messages])
    posix.set_blocking(code, False)
    posix.set_blocking(messages, False)
    return Kernel(program, code_pipe=code, message_pipe=messages)


def _opened_again(pipe: int, mode: int) -> int:
    """Another descriptor of the same pipe, or -1: of an end that may have been closed."""
    try:
        return posix.open(f"/proc/self/fd/{pipe}", mode | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError:
        return -1


def _drain(pipe: int) -> None:
    try:
        for _ in range(_ROUNDS):
            if not posix.readv(pipe, [BUFFER]):
                return
    except OSError:  # it is empty
        pass
