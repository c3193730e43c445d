"""How a run ends, through `Runner`: each status from its own evidence, output and usage as they were.

The programs run side by side through one Runner. What the agent itself decides is tested closer to it, in
tests/integration/agent/; here it is what a caller gets, also from an image without the agent.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import pytest

from sandbox_runner import Config, Limits, Runner, RunRequest, RunResult

MIB = 1 << 20
PATIENT = Limits(wall_time=60)
BASE = "sandbox-runner/base"  # ours, but without the agent: any other image would do
PYTHON = ("python3", "-c")
SPIN = "while True: pass"
GREEDY = "x = b'1' * (300 << 20); print('got it')"
CHILD_IS_GREEDY = f'python3 -c "{GREEDY}"; exit 0'
FLOOD = "yes"
HELD = "(setsid sleep 1000 &); echo main; exit 3"
FORKS = """
import os, signal
for _ in range(100):
    try:
        if not os.fork(): signal.pause()
    except OSError: pass
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A program, in our image or another, and how it must end."""

    command: tuple[str, ...]
    status: str = "exited"
    exit_code: int | None = None
    signal: int | None = None
    hits: dict[str, int | None] = field(default_factory=dict)  # None: any count
    limits: Limits = PATIENT
    image: str | None = None
    check: Callable[[RunResult], bool] = lambda result: True


def sh(script: str, **case) -> Case:
    return Case(command=("sh", "-c", script), **case)


def python(code: str, **case) -> Case:
    return Case(command=(*PYTHON, code), **case)


def limited(**limits) -> Limits:
    return Limits(**{"wall_time": 60, "memory": "128m", **limits})


def said_both(result: RunResult) -> bool:
    return (result.stdout, result.stderr, result.ok) == ("out\n", "err\n", True)


def cut_in_the_middle(result: RunResult) -> bool:
    """The first and the last half of the cap, and between them a line that counts the rest."""
    kept = result.captured["stdout"]
    whole = b"".join(b"%07d\n" % number for number in range(20_000))
    return (
        (kept.head, kept.tail) == (whole[:500], whole[-500:])
        and result.truncated == {"stdout": len(whole) - 1000}
        and f"[… {len(whole) - 1000} bytes cut …]" in result.stdout
    )


CASES = {
    "exits with 0": sh("echo out; echo err >&2", exit_code=0, check=said_both),
    "exits with 137 of its own will": sh("exit 137", exit_code=137),
    "kills itself": sh("kill -9 $$", status="signaled", signal=9, limits=limited()),
    "aborts": python("import os; os.abort()", status="signaled", signal=6),
    "outgrows its memory": python(GREEDY, status="out_of_memory", hits={"memory": 1}, limits=limited()),
    "has a child that outgrows its memory": sh(
        CHILD_IS_GREEDY, exit_code=0, hits={"memory": 1}, limits=limited()
    ),
    "sleeps too long": sh(
        "sleep 1000", status="timed_out", hits={"wall_time": 1}, limits=limited(wall_time=0.5)
    ),
    "computes too long": python(SPIN, status="cpu_limit", hits={"cpu_time": 1}, limits=limited(cpu_time=0.3)),
    "sleeps and computes too long": python(
        SPIN, status="timed_out", hits={"wall_time": 1}, limits=limited(wall_time=0.5, cpu_time=0.5)
    ),
    "prints too much": sh(
        FLOOD, status="output_limit", hits={"output": 1}, limits=limited(output="2m"),
        check=lambda r: r.usage.stdout_bytes == 2 * MIB and r.truncated == {"stdout": MIB},
    ),
    "prints exactly as much as it may": sh(
        "head -c 100000 /dev/zero; head -c 100000 /dev/zero >&2", exit_code=0, limits=limited(output=200_000)
    ),
    "forks too much": python(FORKS, exit_code=0, hits={"pids": None}, limits=limited(pids=32)),
    "fills the workspace": sh(
        "cat /dev/zero > f; exit 0", exit_code=0, hits={"workspace": 1}, limits=limited(workspace="8m")
    ),
    "fills tmp": sh("cat /dev/zero > /tmp/f; exit 0", exit_code=0, hits={"tmp": 1}, limits=limited(tmp="8m")),
    "prints more than is kept": sh(
        "seq -f %07.0f 0 19999", exit_code=0, limits=limited(capture=1000), check=cut_in_the_middle
    ),
    "prints what is no text": python(
        r"import os; os.write(1, b'\xed\xa0\x80\x00\xff|'); os.write(2, 'ä'.encode()[:1])",
        exit_code=0, check=lambda r: (r.stdout, r.stderr) == ("\ufffd\ufffd\ufffd\0\ufffd|", "\ufffd"),
    ),
    "prints a character in two pieces": python(
        "import os, time\nfor byte in 'a€b'.encode(): os.write(1, bytes([byte])); time.sleep(0.02)",
        exit_code=0, check=lambda r: r.stdout == "a€b",
    ),
    "leaves a process that holds its output": sh(
        HELD, exit_code=3, check=lambda r: r.stdout == "main\n" and r.usage.wall_time < 30
    ),
}  # fmt: skip

ELSEWHERE = {
    "exits with 0": sh("echo out; echo err >&2", exit_code=0, check=said_both),
    "exits with 137 of its own will": sh("exit 137", exit_code=137),
    "sleeps too long": sh(
        "sleep 1000", status="timed_out", hits={"wall_time": 1}, limits=limited(wall_time=1)
    ),
    "ignores signals": sh(
        "trap '' TERM INT HUP; sleep 1000; sleep 1000", status="timed_out", hits={"wall_time": 1},
        limits=limited(wall_time=1),
    ),
    "computes too long": python(SPIN, status="cpu_limit", hits={"cpu_time": 1}, limits=limited(cpu_time=0.5)),
    "prints too much": sh(
        FLOOD, status="output_limit", hits={"output": 1}, limits=limited(output="2m"),
        check=lambda r: r.usage.stdout_bytes == 2 * MIB and r.truncated == {"stdout": MIB},
    ),
    "prints more than is kept": sh(
        "seq -f %07.0f 0 19999", exit_code=0, limits=limited(capture=1000), check=cut_in_the_middle
    ),
    "leaves a process that holds its output": sh(HELD, exit_code=3, check=lambda r: r.stdout == "main\n"),
}  # fmt: skip


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[str, str | None], RunResult]:
    """How all cases ended, run side by side."""
    results: dict[tuple[str, str | None], RunResult] = {}

    async def run_one(runner: Runner, name: str, case: Case, image: str | None) -> None:
        request = RunRequest(command=case.command, limits=case.limits, image=image)
        results[name, image] = await runner.run(request)

    async def run_all() -> None:
        async with Runner.open(Config(queue_size=1000)) as runner, anyio.create_task_group() as tasks:
            for cases, image in ((CASES, None), (ELSEWHERE, BASE)):
                for name, case in cases.items():
                    tasks.start_soon(run_one, runner, name, case, image)

    anyio.run(run_all)
    return results


def _assert_ended(result: RunResult, case: Case) -> None:
    ended = (result.status, result.exit_code, result.signal)
    assert ended == (case.status, case.exit_code, case.signal), result
    assert set(result.limits_hit) == set(case.hits)
    assert all(count in (None, result.limits_hit[name]) for name, count in case.hits.items())
    assert case.check(result), result
    assert json.loads(json.dumps(result.as_dict(), allow_nan=False)) == result.as_dict()


@pytest.mark.parametrize("name", CASES)
def test_a_program_ends_by_its_own_evidence(outcomes, name):
    result = outcomes[name, None]
    _assert_ended(result, CASES[name])
    assert result.reason == ""
    assert result.usage.cpu_time >= 0
    assert result.usage.peak_memory > 0


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_program_in_an_image_without_the_agent_ends_by_its_own_evidence(outcomes, name):
    _assert_ended(outcomes[name, BASE], ELSEWHERE[name])


@pytest.mark.anyio
async def test_without_the_agent_no_memory_is_had_beyond_the_limit_and_mostly_said_so():
    request = RunRequest(command=[*PYTHON, GREEDY], limits=limited(), image=BASE)
    async with Runner.open(Config()) as runner:
        result = await runner.run(request)
    assert "got it" not in result.stdout
    # Docker's own word for it is all there is, and it is lost now and then: then 137 is what is known.
    assert result.status == "out_of_memory" or result.exit_code == 137


@pytest.mark.parametrize("image", [None, BASE])
def test_usage_tells_what_a_run_used(outcomes, image):
    spun, slept, printed = (
        outcomes[name, image].usage for name in ("computes too long", "sleeps too long", "exits with 0")
    )
    assert spun.cpu_time >= 0.3
    assert slept.wall_time >= 0.5
    assert (printed.stdout_bytes, printed.stderr_bytes) == (4, 4)
    assert spun.wall_time > 0


def test_memory_that_was_full_is_in_the_usage(outcomes):
    assert 120 * MIB < outcomes["outgrows its memory", None].usage.peak_memory <= 128 * MIB
