"""Calls parts of PID 1, built with the sanitizers of the compiler, as a process of this machine."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weakened import SOURCE

HARNESS = Path(__file__).with_suffix(".c")
_LEFT_OUT = ("main.c", "ends.c")  # what ends a process, and the loop


class Broken(Exception):
    """The part has found that the protocol is broken."""


def build(program: Path) -> None:
    """Builds the parts and what calls them. The kernel's counters are those below its working folder."""
    sources = [path for path in sorted(SOURCE.glob("*.c")) if path.name not in _LEFT_OUT]
    checked = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = ["gcc", "-g", "-O1", *checked, '-DROOT="./"', f"-I{SOURCE}", "-o", str(program), str(HARNESS)]
    subprocess.run([*command, *map(str, sources)], check=True)


class Parts:
    """The process. Each call is answered on its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def call(self, part: str, data: bytes = b"") -> bytes:
        """What the part answers. Raises Broken; fails where it reads or writes what it must not."""
        request = part.encode() + data
        self.say(len(request).to_bytes(4, "big") + request)
        answer = self.hear()
        assert not answer.startswith(b"crashed"), answer
        if answer.startswith(b"broken: "):
            raise Broken(answer.decode())
        return answer

    def say(self, data: bytes) -> None:
        """Writes to it."""
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def hear(self) -> bytes:
        """Its next answer."""
        size = int.from_bytes(self._process.stdout.read(4), "big")
        return self._process.stdout.read(size)


@contextmanager
def parts(program: Path, **settings: object) -> Iterator[Parts]:
    """The process, from its start to its end."""
    pipe = subprocess.PIPE
    with subprocess.Popen([program], stdin=pipe, stdout=pipe, **settings) as process:  # type: ignore[call-overload]
        yield Parts(process)
        process.stdin.close()
