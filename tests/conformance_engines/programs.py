"""The programs of the contract's tests: what a real engine runs, and what FakeEngine is told of them."""

from collections.abc import Awaitable, Callable

import anyio

from sandbox_runner.events import Artifact
from sandbox_runner.spec import Job
from sandbox_runner.testing import Reply, read_stdin

MIB = 1 << 20
Told = Callable[[Job], Reply | Awaitable[Reply]]
BYTES = bytes(range(256)) * 1024


async def _cat(job: Job) -> Reply:
    return Reply(stdout=await read_stdin(job))


async def _sleep(_job: Job) -> Reply:
    await anyio.sleep_forever()
    return Reply()


def _words(job: Job) -> Reply:
    return Reply(stdout=f"{job.argv[-1]} {job.env['WORD']} {job.cwd}\n".encode())


def _files(job: Job) -> Reply:
    return Reply(stdout=b"".join(each.data for each in job.files))


def _given_back(_job: Job) -> Reply:
    return Reply(artifacts=(Artifact("a.txt", b"one"), Artifact("b.log", b"two")))


def _says(**reply) -> Told:
    return lambda _job: Reply(**reply)


_PYTHON = ("python3", "-c")
CAT = ("cat",)
NOTHING = ("true",)
SLEEP = ("sleep", "1000")
BOTH = ("sh", "-c", "printf out; printf err >&2; printf more")
MANY_BYTES = (*_PYTHON, "import sys; sys.stdout.buffer.write(bytes(range(256)) * 1024)")
EXIT_3 = ("sh", "-c", "exit 3")
TERMINATED = ("sh", "-c", "kill -TERM $$")
LAYERED = ("cat", "/usr/lib/sandbox-runner/packages/told")
WORDS = ("sh", "-c", 'echo "$1 $WORD $PWD"', "sh", "a word")
FILES = ("cat", "a/b.txt", "c")
GIVEN_BACK = ("sh", "-c", "printf one > a.txt; printf two > b.log")
COMPUTES = ("sh", "-c", "while :; do :; done")
HOGS = (*_PYTHON, "x = b'x' * (256 << 20)")
PRINTS = ("sh", "-c", "head -c 3000000 /dev/zero")
LEAVES = ("sh", "-c", "sleep 1000 & echo $! > own")
LOOKS = ("sh", "-c", "kill -0 $(cat pid) && ! grep -q sleep /proc/$(cat own)/cmdline 2>/dev/null")
# For kernels of bash.
BEGINS = "x=1; sleep 1000 & echo $! > pid"
TELLS = 'echo "[$x]"'
WAITS = "echo up; sleep 1000"
ENDS = "exit 3"

_TOLD: dict[tuple[str, ...], Told] = {
    CAT: _cat,
    NOTHING: _says(),
    SLEEP: _sleep,
    BOTH: _says(stdout=b"outmore", stderr=b"err"),
    MANY_BYTES: _says(stdout=BYTES),
    EXIT_3: _says(exit_code=3),
    TERMINATED: _says(signal=15),
    LAYERED: _says(stdout=b"of the layer"),
    WORDS: _words,
    FILES: _files,
    GIVEN_BACK: _given_back,
    COMPUTES: _says(cpu_time=100.0),
    HOGS: _says(peak_memory=256 * MIB),
    PRINTS: _says(stdout=bytes(3_000_000)),
    LEAVES: _says(),
    LOOKS: _says(),
}


def answering() -> Told:
    """What a FakeEngine is told of its jobs. Its kernels remember that `BEGINS` was run."""
    kept: set[str] = set()

    def answer(job: Job) -> Reply | Awaitable[Reply]:
        if job.kernel is not None:
            return _cell(job, job.kernel, kept)
        if job.value is not None:
            return Reply(value=b'{"doubled": 42}')
        return _TOLD[tuple(job.argv)](job)

    return answer


def _cell(job: Job, kernel: str, kept: set[str]) -> Reply | Awaitable[Reply]:
    code = (job.value or b"").decode()
    if code == BEGINS:
        kept.add(kernel)
        return Reply()
    if code == TELLS:
        return Reply(stdout=b"[1]\n" if kernel in kept else b"[]\n")
    if code == ENDS:
        kept.discard(kernel)
        return Reply(exit_code=3, state_lost=True)
    return _sleep(job)
