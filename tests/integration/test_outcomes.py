"""How a run ends, through `Runner`: each status from its own evidence, output and usage as they were.

The programs run side by side through one Runner. What the agent itself decides is tested closer to it, in
tests/integration/agent/; here it is what a caller gets, also from an image without the agent.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import anyio
import pytest

from sandbox_runner import Config, InputFile, Limits, Runner, RunRequest, RunResult, run
from sandbox_runner.engines.docker.inventory import list_runs
from sandbox_runner.events import Exited, Output, Started, Truncated

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
async def test_without_the_agent_no_memory_is_had_beyond_the_limit_and_mostly_said_so(runner):
    request = RunRequest(command=[*PYTHON, GREEDY], limits=limited(), image=BASE)
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


@pytest.fixture
async def runner(anyio_backend) -> AsyncIterator[Runner]:
    async with Runner.open(Config()) as runner:
        yield runner


@pytest.fixture
def live(docker_client, runner) -> Callable[[], list[str]]:
    """The ids of the runs of `runner` that have a container."""

    def runs() -> list[str]:
        listed = list_runs(docker_client, instance=runner.instance)
        # Docker 20.10 may go on listing one that is gone for good.
        return [each.run_id for each in listed if each.state != "removing"]

    return runs


def endless(image: str | None, script: str = "echo ready; sleep 1000") -> RunRequest:
    return RunRequest(command=["sh", "-c", script], image=image, limits=Limits(wall_time=100))


async def until_ready(events) -> None:
    async for event in events:
        if isinstance(event, Output):
            return


each_image = pytest.mark.parametrize("image", [None, BASE], ids=["agent", "no agent"])


@pytest.mark.anyio
@each_image
async def test_a_cancelled_run_says_so_and_is_gone(runner, live, image):
    async with runner.stream(endless(image)) as events:
        await until_ready(events)
        assert live() == [events.run_id]
        events.cancel()
        events.cancel()
        result = await events.result()
    assert (result.status, result.exit_code, result.signal, result.stdout) == (
        "cancelled",
        None,
        None,
        "ready\n",
    )
    assert result.limits_hit == {}
    assert live() == []


@pytest.mark.anyio
@each_image
async def test_leaving_the_context_removes_the_container(runner, live, image):
    async with runner.stream(endless(image)) as events:
        await until_ready(events)
        assert live() == [events.run_id]
    assert live() == []


@pytest.mark.anyio
@each_image
async def test_leaving_the_context_while_input_waits_removes_the_container(runner, live, image):
    request = RunRequest(command=["sh", "-c", "echo ready; sleep 1000"], image=image, stdin=bytes(10 * MIB))
    async with runner.stream(request) as events:
        await until_ready(events)
    assert live() == []


@pytest.mark.anyio
@each_image
async def test_an_exception_in_the_consumer_removes_the_container_and_arrives_as_it_is(runner, live, image):
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - it is raised inside on purpose
        async with runner.stream(endless(image)) as events:
            await until_ready(events)
            raise ZeroDivisionError
    assert live() == []


@pytest.mark.anyio
@each_image
async def test_cancelling_the_task_removes_the_container(runner, live, image):
    ready = anyio.Event()

    async def consume() -> None:
        async with runner.stream(endless(image)) as events:
            await until_ready(events)
            ready.set()
            await events.result()

    task = asyncio.create_task(consume())
    await ready.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert live() == []


@pytest.mark.anyio
async def test_a_run_that_is_cancelled_at_any_moment_of_its_start_leaves_nothing(runner, live):
    for moment in range(12):
        with anyio.move_on_after(moment * 0.02):
            await runner.run(endless(None))
        assert live() == []


@pytest.mark.anyio
async def test_run_works_inside_a_running_event_loop():
    assert run("print(2**100)").stdout == f"{2**100}\n"
    assert await anyio.to_thread.run_sync(lambda: run(command=["echo", "hi"]).stdout) == "hi\n"


@pytest.mark.anyio
@each_image
async def test_events_come_in_order_and_end_with_the_end(runner, image):
    request = RunRequest(command=["sh", "-c", "echo one; echo two >&2; exit 4"], image=image)
    async with runner.stream(request) as stream:
        events = [event async for event in stream]
        result = await stream.result()
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Exited)
    assert [event.run_id for event in events if isinstance(event, Started)] == [result.run_id]
    assert {event.stream: event.text for event in events if isinstance(event, Output)} == {
        "stdout": "one\n", "stderr": "two\n",
    }  # fmt: skip
    assert (events[-1].status, events[-1].exit_code, events[-1].usage) == ("exited", 4, result.usage)


@pytest.mark.anyio
async def test_a_character_in_two_pieces_is_in_the_later_event(runner):
    code = "import os\nos.write(1, '€'.encode()[:2]); input(); os.write(1, '€'.encode()[2:])"
    go = anyio.Event()

    async def answer() -> AsyncIterator[bytes]:
        await go.wait()
        yield b"\n"

    outputs = []
    async with runner.stream(RunRequest(command=[*PYTHON, code], stdin=answer())) as events:
        async for event in events:
            if isinstance(event, Output):
                outputs.append((event.data, event.offset, event.text))
                go.set()
    assert outputs == [(b"\xe2\x82", 0, ""), (b"\xac", 2, "€")]


@pytest.mark.anyio
@each_image
async def test_a_consumer_that_is_too_slow_is_told_what_it_missed(runner, image):
    request = RunRequest(
        command=["sh", "-c", "head -c 8000000 /dev/zero; head -c 3000000 /dev/zero >&2"], image=image
    )
    async with runner.stream(request) as stream:
        result = await stream.result()
        events = [event async for event in stream]
    for name, size in (("stdout", 8_000_000), ("stderr", 3_000_000)):
        got = sum(len(event.data) for event in events if isinstance(event, Output) and event.stream == name)
        missed = sum(
            event.dropped for event in events if isinstance(event, Truncated) and event.stream == name
        )
        assert got + missed == size == result.captured[name].total
    assert any(isinstance(event, Truncated) for event in events)
    assert sum(len(event.data) for event in events if isinstance(event, Output)) <= 2 * MIB


@pytest.mark.anyio
@each_image
async def test_a_lossless_consumer_gets_everything_however_slow(runner, image):
    code = "import os\nfor n in range(120): os.write(1, bytes([n]) * 65536)"
    received = bytearray()
    async with runner.stream(RunRequest(command=[*PYTHON, code], image=image), lossless=True) as events:
        async for event in events:
            assert not isinstance(event, Truncated)
            if isinstance(event, Output):
                assert event.offset == len(received)
                received += event.data
                await anyio.sleep(0.01)
        result = await events.result()
    assert received == b"".join(bytes([n]) * 65536 for n in range(120))
    assert result.status == "exited"


@pytest.mark.anyio
@each_image
async def test_a_program_that_ended_did_not_time_out_because_its_lossless_consumer_was_away(runner, image):
    code = "import os\nfor n in range(40): os.write(1, bytes([n]) * 65536)"
    request = RunRequest(command=[*PYTHON, code], image=image, limits=Limits(wall_time=1))
    received = 0
    async with runner.stream(request, lossless=True) as events:
        async for event in events:
            if isinstance(event, Output):
                await anyio.sleep(4 if not received else 0)  # longer than the host waits for the agent
                received += len(event.data)
        result = await events.result()
    assert received == result.usage.stdout_bytes
    if image is None:  # the clock of the other runs on while its pipe is full, and says so
        assert result.status == "timed_out" or received == 40 * 65536
    assert result.reason == ""


@pytest.mark.anyio
@each_image
async def test_the_deadline_ends_a_run_whose_lossless_consumer_takes_nothing(runner, live, image):
    request = RunRequest(command=["yes"], image=image, limits=Limits(wall_time=1))
    async with runner.stream(request, lossless=True) as stream:
        taken = 0
        async for event in stream:
            if isinstance(event, Output):
                taken += len(event.data)
                await anyio.sleep(1.5 if taken < 2 * MIB else 0)
        result = await stream.result()
    assert result.status == "timed_out"
    assert taken == result.usage.stdout_bytes
    with anyio.fail_after(60):  # in the background, as the program was over
        while live():
            await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
@each_image
async def test_ten_mebibytes_go_in_and_come_out(runner, image):
    data = bytes(range(256)) * (10 * MIB // 256)
    request = RunRequest(command=["cat"], stdin=data, image=image, limits=Limits(capture="10m"))
    result = await runner.run(request)
    assert result.captured["stdout"].head + result.captured["stdout"].tail == data


@pytest.mark.anyio
@each_image
async def test_input_that_is_not_read_blocks_nothing(runner, image):
    result = await runner.run(RunRequest(command=["true"], stdin=bytes(10 * MIB), image=image))
    assert result.ok


@pytest.mark.anyio
@each_image
async def test_no_input_is_an_end_of_file(runner, image):
    assert (await runner.run(RunRequest(command=["cat"], image=image))).ok


@pytest.mark.anyio
async def test_files_arrive_with_what_they_hold(runner):
    files = [InputFile("a/b.txt", b"deep"), InputFile("run.sh", b"#!/bin/sh\ncat a/b.txt\n", 0o755)]
    assert (await runner.run(RunRequest(command=["./run.sh"], files=files))).stdout == "deep"
