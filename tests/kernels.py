"""A kernel as a process of this machine: what the agent does with one, for tests of the kernels alone."""

import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CODE, MESSAGES = 3, 4  # the kernel's descriptors
PATIENCE = 60  # seconds; only a broken kernel is waited for that long


class Messages:
    """What a kernel that keeps to the rules writes: displays, and the ends of jobs."""

    def __init__(self) -> None:
        self.code = -1  # of the job that has ended
        self._data = b""

    def begin(self) -> None:
        self.code = -1

    def feed(self, data: bytes) -> bytes:
        """The displays that are complete, a line each."""
        self._data += data
        displays = b""
        while found := re.match(rb"(show|done) \d+ (\d+)\n", self._data):
            end = found.end() + (int(found[2]) if found[1] == b"show" else 0)
            if end > len(self._data):
                break
            if found[1] == b"show":
                displays += self._data[found.end() : end] + b"\n"
            else:
                self.code = int(found[2])
            self._data = self._data[end:]
        return displays


@dataclass(frozen=True)
class Cell:
    """What became of a piece of code; ``code`` is None where the kernel has ended."""

    code: int | None
    stdout: str
    stderr: str
    displays: tuple[dict, ...]


class LocalKernel:
    """Call it with code; leave its context to end it."""

    def __init__(self, argv: Sequence[str], *, cwd: Path, env: dict[str, str] | None = None) -> None:
        code, self._code = os.pipe()
        self._messages, messages = os.pipe()
        given = {code: CODE, messages: MESSAGES}
        # A shell puts the descriptors where the kernel looks for them.
        moved = " ".join(f"{theirs}{'<' if theirs == CODE else '>'}&{ours}" for ours, theirs in given.items())
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" {moved}', "bash", *argv],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=list(given), cwd=cwd, env=env, start_new_session=True,
        )  # fmt: skip
        for descriptor in given:
            os.close(descriptor)
        self._parser = Messages()
        self._job = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.process.stderr):
            file.close()
        os.close(self._code)
        os.close(self._messages)

    def __call__(self, code: str, *, stdin: bytes = b"", interrupt_at: bytes | None = None) -> Cell:
        """Runs ``code``; interrupts it once it has printed ``interrupt_at``."""
        self._job += 1
        self._parser.begin()
        data = code.encode()
        os.write(self._code, b"__run__ %d %d\n" % (self._job, len(data)) + data)
        self.process.stdin.write(stdin)
        self.process.stdin.flush()
        out, err = self.process.stdout.fileno(), self.process.stderr.fileno()
        read: dict[int, bytes] = {out: b"", err: b""}
        shown, interrupted = b"", False
        deadline = time.monotonic() + PATIENCE
        while self._parser.code < 0:
            ready, _, _ = select.select([out, err, self._messages], (), (), 1)
            assert time.monotonic() < deadline, (code, read)
            if not ready and interrupted:  # as the agent does it
                os.killpg(self.process.pid, signal.SIGINT)
            for pipe in read.keys() & set(ready):
                read[pipe] += os.read(pipe, 1 << 16)
            if interrupt_at is not None and interrupt_at in read[out]:
                os.killpg(self.process.pid, signal.SIGINT)
                interrupt_at, interrupted = None, True
            if self._messages in ready:
                said = os.read(self._messages, 1 << 16)
                if not said:
                    break
                shown += self._parser.feed(said)
        for pipe in read:
            while select.select([pipe], (), (), 0)[0] and (data := os.read(pipe, 1 << 16)):
                read[pipe] += data
        displays = tuple(map(json.loads, shown.splitlines()))
        status = self._parser.code if self._parser.code >= 0 else None
        return Cell(status, read[out].decode(), read[err].decode(), displays)
