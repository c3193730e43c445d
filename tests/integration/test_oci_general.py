"""The general lane of the embedded engine: images without our agent, held by the host alone.

Its programs end as they do on Docker; what confines them is seen before they run; and nothing of them
outlives its owner. The image is our own shell's root filesystem under a name that promises no agent.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import anyio
import pytest
from test_oci_controls import WEAKENED
from test_oci_engine import (
    ALLOWED,
    anyio_test,
    config,
    kill_owners,
    left_by,
    traces,
)
from test_outcomes import ELSEWHERE, GREEDY, PYTHON, _assert_ended, limited

from sandbox_runner import Limits, Runner, RunRequest, RunResult
from sandbox_runner.engines.oci import cgroups, starting, tracing
from sandbox_runner.engines.oci.bundles import Bundle
from sandbox_runner.engines.oci.inventory import list_runs, reap
from sandbox_runner.engines.oci.store import find_stored, forget_name, store_name
from sandbox_runner.errors import ControlNotEnforced, StartFailed
from sandbox_runner.events import Output, Started
from sandbox_runner.head_start import _HOLD_GRACE

IMAGE = f"sandbox-runner-tests/foreign:{os.getpid()}"
MIB = 1 << 20
KILLS = 16  # for each runtime
RUNTIMES = ("crun", "runc")
each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


@pytest.fixture(autouse=True, scope="module")
def foreign_image():
    store_name(IMAGE, replace(find_stored("shell"), labels={}, name=IMAGE))
    yield
    forget_name(IMAGE)


@pytest.fixture(params=RUNTIMES)
async def runner(request, anyio_backend) -> AsyncIterator[Runner]:
    async with Runner.open(config(request.param)) as runner:
        yield runner
    assert traces(runner.instance) == []


def foreign(*command: str, **request) -> RunRequest:
    return RunRequest(command=command, image=IMAGE, **request)


@pytest.fixture(scope="module", params=RUNTIMES)
def outcomes(request, foreign_image) -> dict[str, RunResult]:
    results: dict[str, RunResult] = {}

    async def run_one(runner: Runner, name: str) -> None:
        results[name] = await runner.run(foreign(*ELSEWHERE[name].command, limits=ELSEWHERE[name].limits))

    async def run_all() -> None:
        async with Runner.open(config(request.param)) as runner, anyio.create_task_group() as tasks:
            for name in ELSEWHERE:
                tasks.start_soon(run_one, runner, name)

    anyio.run(run_all)
    return results


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_program_ends_as_it_does_on_docker(outcomes, name):
    _assert_ended(outcomes[name], ELSEWHERE[name])


@pytest.mark.parametrize("name", ELSEWHERE)
def test_its_usage_is_the_kernels_own_count_however_short_it_was(outcomes, name):
    usage = outcomes[name].usage
    assert 0 < usage.cpu_time < usage.wall_time * os.cpu_count() + 0.5
    assert 0 < usage.peak_memory <= 512 * MIB


@anyio_test
async def test_out_of_memory_is_told_every_time(runner):
    for _ in range(3):
        result = await runner.run(foreign(*PYTHON, GREEDY, limits=limited()))
        assert (result.status, set(result.limits_hit)) == ("out_of_memory", {"memory"})
        assert result.usage.peak_memory <= 128 * MIB


@anyio_test
@pytest.mark.parametrize("name", ["TERM", "ABRT", "SEGV", "KILL"])
async def test_a_signal_ends_a_program_as_it_does_elsewhere(runner, name):
    """Were it PID 1 itself it would not even notice."""
    result = await runner.run(foreign("sh", "-c", f"kill -{name} $$; echo survived"))
    code = 128 + signal.Signals[f"SIG{name}"]
    assert (result.status, result.exit_code, result.stdout) == ("exited", code, "")


@anyio_test
async def test_stdin_stdout_and_stderr_are_pipes_that_carry_all(runner):
    data = os.urandom(5 * MIB)
    result = await runner.run(foreign("cat", stdin=data, limits=Limits(capture="5m")))
    assert result.captured["stdout"].head + result.captured["stdout"].tail == data
    unread = await runner.run(foreign("true", stdin=data))
    assert (unread.status, unread.exit_code) == ("exited", 0)
    opened = await runner.run(
        foreign("sh", "-c", "echo out > /dev/stdout; echo err > /dev/stderr; cat /dev/stdin")
    )
    assert (opened.stdout, opened.stderr, opened.exit_code) == ("out\n", "err\n", 0)


@anyio_test
async def test_a_program_that_is_not_there_is_a_result_as_it_is_on_docker(runner):
    result = await runner.run(foreign("no-such-program"))
    assert (result.status, result.exit_code) == ("exited", 127)


LOOK = """
import json, os, socket
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
def tried(act):
    try:
        act(); return 'done'
    except OSError as error:
        return error.strerror
print(json.dumps({
    'status': {n: status[n].strip() for n in ('CapEff', 'CapBnd', 'NoNewPrivs', 'Seccomp', 'Groups')},
    'uid': os.getuid(),
    'root': tried(lambda: open('/written', 'w')), 'interfaces': [n for _, n in socket.if_nameindex()],
    'masked': open('/proc/interrupts').read(),
    'mount': tried(lambda: os.mkdir('/proc/x')), 'workspace': tried(lambda: open('/workspace/a', 'w')),
    'pids': [n for n in os.listdir('/proc') if n.isdigit()], 'limits': open('/proc/self/limits').read(),
    'mounts': open('/proc/self/mountinfo').read(), 'init': tried(lambda: open('/dev/init', 'wb')),
}))
"""


@anyio_test
async def test_the_program_is_confined_as_in_our_own_images(runner):
    import json

    seen = json.loads((await runner.run(foreign(*PYTHON, LOOK))).stdout)
    assert seen["uid"] >= 20000
    none = "0000000000000000"
    assert seen["status"] == {"CapEff": none, "CapBnd": none, "NoNewPrivs": "1", "Seccomp": "2", "Groups": ""}
    assert seen["root"] == "Read-only file system"
    assert seen["interfaces"] == ["lo"]
    assert seen["masked"] == ""
    assert seen["mount"] != "done"
    assert seen["workspace"] == "done"
    assert sorted(seen["pids"])[0] == "1"
    assert len(seen["pids"]) == 2
    assert seen["init"] != "done"
    mounts = [line.split() for line in seen["mounts"].splitlines()]
    assert all("ro" in line[5].split(",") for line in mounts if line[4] in ("/", "/dev/init"))


@anyio_test
@each_runtime
@pytest.mark.parametrize("control", WEAKENED)
async def test_a_runtime_that_leaves_a_control_out_is_refused_before_the_program_runs(
    monkeypatch, runtime, control
):
    whole = starting.bundle_config
    monkeypatch.setattr(starting, "filter_annotation", lambda profile: {})

    def weakened(*arguments, **named):
        made = WEAKENED[control](whole(*arguments, **named))
        made["linux"] = {name: part for name, part in made["linux"].items() if part is not None}
        return made

    monkeypatch.setattr(starting, "bundle_config", weakened)
    started = []
    async with Runner.open(config(runtime)) as runner:
        with pytest.raises((ControlNotEnforced, StartFailed)) as refused:
            async with runner.stream(foreign("echo", "ran")) as events:
                started += [event async for event in events if isinstance(event, Started | Output)]
        assert list_runs(instance=runner.instance) == []
    assert started == []
    assert control in str(refused.value) or isinstance(refused.value, StartFailed)


@anyio_test
@each_runtime
async def test_a_limit_that_was_not_set_is_named_before_the_program_runs(monkeypatch, runtime):
    whole, bundle = cgroups.make_cgroups, starting.bundle_config

    def raised(spec):
        return replace(spec, limits=replace(spec.limits, memory=spec.limits.memory * 8))

    monkeypatch.setattr(cgroups, "make_cgroups", lambda h, path, spec: whole(h, path, raised(spec)))
    monkeypatch.setattr(starting, "bundle_config", lambda spec, **rest: bundle(raised(spec), **rest))
    async with Runner.open(config(runtime)) as runner:
        with pytest.raises(ControlNotEnforced, match="memory"):
            await runner.run(foreign("true", limits=Limits(memory="64m")))


@anyio_test
async def test_where_nothing_may_be_traced_nothing_is_run(monkeypatch, runner):
    def refuse(*_words):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(tracing, "_ptrace", refuse)
    with pytest.raises(ControlNotEnforced, match="ptrace"):
        await runner.run(foreign("true"))
    assert list_runs(instance=runner.instance) == []


async def until_output(events) -> None:
    async for event in events:
        if isinstance(event, Output):
            return


STUBBORN = ("sh", "-c", "trap '' TERM INT; echo ready; sleep 1000; sleep 1000")


@anyio_test
async def test_a_cancelled_run_says_so_and_is_gone(runner):
    async with runner.stream(foreign(*STUBBORN)) as events:
        await until_output(events)
        assert [run.run_id for run in list_runs(instance=runner.instance)] == [events.run_id]
        events.cancel()
        events.cancel()
        result = await events.result()
    assert (result.status, result.exit_code, result.stdout) == ("cancelled", None, "ready\n")
    assert list_runs(instance=runner.instance) == []


@anyio_test
async def test_a_run_that_is_cancelled_at_any_moment_of_its_start_leaves_nothing(runner):
    for moment in range(14):
        with anyio.move_on_after(moment * 0.01):
            await runner.run(foreign("sleep", "1000"))
        assert list_runs(instance=runner.instance) == []


@anyio_test
async def test_a_container_that_is_killed_from_outside_is_a_result(runner):
    async with runner.stream(foreign(*STUBBORN)) as events:
        await until_output(events)
        (run,) = list_runs(instance=runner.instance)
        os.kill(Bundle(run.instance, run.container_id).pid(), signal.SIGKILL)
        result = await events.result()
    assert (result.status, result.signal, result.reason) == ("signaled", 9, "sandbox_broken")


@anyio_test
async def test_a_slow_consumer_makes_the_program_wait_and_loses_nothing(runner):
    code = "import os\nfor n in range(60): os.write(1, bytes([n]) * 65536)"
    received = bytearray()
    async with runner.stream(foreign(*PYTHON, code), lossless=True) as events:
        async for event in events:
            if isinstance(event, Output):
                assert event.offset == len(received)
                received += event.data
                for _ in range(50):
                    await anyio.lowlevel.checkpoint()
        result = await events.result()
    assert received == b"".join(bytes([n]) * 65536 for n in range(60))
    assert result.status == "exited"


@anyio_test
async def test_many_at_once_all_end(runner):
    results: list[RunResult] = []

    async def one() -> None:
        results.append(await runner.run(foreign("sh", "-c", "exit 7", limits=Limits(memory="32m"))))

    async with anyio.create_task_group() as tasks:
        for _ in range(24):
            tasks.start_soon(one)
    assert [(result.status, result.exit_code) for result in results] == [("exited", 7)] * 24


@pytest.mark.timeout(300)
@each_runtime
def test_kills_of_the_owner_at_random_moments_leave_nothing(runtime):
    kill_owners(runtime, KILLS, IMAGE)


ALONE = f"""
import os, anyio, psutil
from sandbox_runner import Limits, Runner, RunRequest
from sandbox_runner.events import Output

async def main():
    async with Runner.open() as runner:
        print(os.getpid(), flush=True)
        watchdog, = psutil.Process().children()
        DIES and os.kill(watchdog.pid, 9)
        request = RunRequest(
            command=["sh", "-c", "trap '' TERM; echo ready; sleep 1000"], image="{IMAGE}",
            limits=Limits(wall_time=WALL),
        )
        async with runner.stream(request) as events:
            async for event in events:
                if isinstance(event, Output):
                    os.kill(os.getpid(), 19)

anyio.run(main)
"""


def stopped_owner(runtime: str, *, watchdog_dies: bool, wall_time: float) -> subprocess.Popen[str]:
    """An owner that stopped with a program running."""
    code = ALONE.replace("DIES", str(watchdog_dies)).replace("WALL", str(wall_time))
    owner = subprocess.Popen(
        [sys.executable, "-c", code, "owner"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "SANDBOX_RUNNER_ENGINE": "oci", "SANDBOX_RUNNER_OCI_RUNTIME": runtime},
    )
    assert int(owner.stdout.readline()) == owner.pid
    os.waitpid(owner.pid, os.WUNTRACED)
    return owner


def ended(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.wait()
    owner.stdout.close()


@each_runtime
def test_the_watchdog_holds_the_deadline_of_an_owner_that_stopped(runtime):
    owner = stopped_owner(runtime, watchdog_dies=False, wall_time=1)
    try:
        (name,) = left_by({owner.pid})
        give_up = time.monotonic() + 1 + _HOLD_GRACE + ALLOWED
        while left_by({owner.pid}) and time.monotonic() < give_up:
            pass
        assert left_by({owner.pid}) == []
        assert not [trace for trace in traces() if name in trace]
    finally:
        ended(owner)


@each_runtime
def test_the_kernel_ends_the_program_with_its_owner_even_without_a_watchdog(runtime):
    owner = stopped_owner(runtime, watchdog_dies=True, wall_time=600)
    (name,) = left_by({owner.pid})
    hierarchies, path = cgroups.find_hierarchies(), f"{cgroups.SLICE}/{name}"
    assert cgroups.processes(hierarchies, path)
    assert name not in [run.container_id for run in reap()]
    ended(owner)
    give_up = time.monotonic() + ALLOWED
    while cgroups.processes(hierarchies, path) and time.monotonic() < give_up:
        pass
    assert not cgroups.processes(hierarchies, path)
    assert name in [run.container_id for run in reap()]
    assert not [trace for trace in traces() if name in trace]


@anyio_test
async def test_under_runsc_it_is_refused():
    async with Runner.open(config("runsc")) as runner:
        with pytest.raises(ControlNotEnforced, match="our own images only"):
            await runner.run(foreign("true"))
