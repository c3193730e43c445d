"""PID 1 without one of its controls: built from its source with a change, and brought along as arguments.

Attacks are run against it, to see that they succeed there.
"""

import base64
import subprocess
import tempfile
import zlib
from functools import cache
from pathlib import Path

from sandbox_runner.definitions import agent_folder

SOURCE = agent_folder() / "pid1"
# Says that it is sealed, and is not.
UNSEALED = (
    ("prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);", ""),
    ("prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0", "true"),
)
# Is not sealed, and says so.
UNSEALED_HONESTLY = UNSEALED[:1]

_PIECE = 100_000  # bytes: execve(2) takes 128 KiB in one argument
_LOADER = """
import base64, os, sys, zlib
count = int(sys.argv[1])
program = zlib.decompress(base64.b64decode("".join(sys.argv[2 : 2 + count])))
file = os.memfd_create("pid1")
assert os.write(file, program) == len(program)
os.execv(f"/proc/self/fd/{file}", ["pid1", *sys.argv[2 + count :]])
"""


@cache
def weakened_argv(*changes: tuple[str, str]) -> tuple[str, ...]:
    """The arguments that start it, before its own. Each change is a text of the source and its successor."""
    with tempfile.TemporaryDirectory() as folder:
        texts = {path.name: path.read_text() for path in SOURCE.glob("*.[ch]")}
        for old, new in changes:
            found = [name for name, text in texts.items() if old in text]
            assert len(found) == 1, (old, found)
            texts[found[0]] = texts[found[0]].replace(old, new)
        for name, text in texts.items():
            (Path(folder) / name).write_text(text)
        program = Path(folder) / "pid1"
        build = ["gcc", "-Os", "-s", "-static", "-o", str(program), *map(str, Path(folder).glob("*.c"))]
        subprocess.run(build, check=True)
        text = base64.b64encode(zlib.compress(program.read_bytes(), 9)).decode()
    pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
    return ("/usr/bin/python3", "-I", "-S", "-c", _LOADER, str(len(pieces)), *pieces)
