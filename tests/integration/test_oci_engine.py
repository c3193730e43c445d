"""The embedded engine with each runtime that it drives: how runs end, what confines them, what they leave.

The programs of test_outcomes must end as they do on Docker, and the doctor's probes must find every
control. The images are those that `sandbox-runner setup --engine oci` unpacked.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import cache
from glob import glob
from pathlib import Path

import anyio
import pytest
from owners import OWNER, kill, nursery, wait_for_end
from test_outcomes import CASES

from sandbox_runner import Config, Limits, Runner, RunRequest, RunResult
from sandbox_runner.doctor import examine
from sandbox_runner.engines.docker import connection
from sandbox_runner.engines.oci import cgroups
from sandbox_runner.engines.oci.bundles import RUN_FOLDER, Bundle
from sandbox_runner.engines.oci.engine import open_oci_engine
from sandbox_runner.engines.oci.inventory import list_runs, reap, remove_instance
from sandbox_runner.errors import ControlNotEnforced, EngineUnavailable
from sandbox_runner.events import Output

RUNTIMES = ("crun", "runc", "runsc")
OF_KERNEL = ("crun", "runc")
SYSCALLS = Path(__file__).parent / "payloads" / "syscalls.py"
KILLS = 24  # for each runtime
BATCH = 4
LONGEST_RUN = 0.4  # seconds; the moment of the kill is drawn from it
ALLOWED = float(os.environ.get("SANDBOX_RUNNER_TEST_ALLOWED", "5"))  # seconds; more in an emulated machine

# What ends otherwise where the whole sandbox meets its limit is in test_runsc.
OTHERWISE = {"outgrows its memory", "has a child that outgrows its memory", "forks too much"}

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)
each_of_kernel = pytest.mark.parametrize("runtime", OF_KERNEL)
anyio_test = pytest.mark.anyio


def config(runtime: str, **settings) -> Config:
    return Config(engine="oci", oci_runtime=runtime, queue_size=1000, **settings)


def _glob(pattern: str, folder: Path) -> list[str]:
    # Path.glob of Python 3.11 raises where a folder goes away meanwhile.
    return [f"{folder}/{name}" for name in glob(pattern, root_dir=folder)]  # noqa: PTH207


def traces(instance: str | None = None) -> list[str]:
    """Everything on this machine that a container of ``instance``, or any, consists of."""
    names = {run.container_id for run in list_runs(instance=instance)}
    kept = f"{RUN_FOLDER}/filters/"  # what was compiled once in a machine's uptime
    ours = [path for path in _glob("*/*", RUN_FOLDER) if not path.startswith(kept)]
    found = [path for path in ours if instance is None or path.endswith(instance)]
    for folder in cgroups.find_hierarchies().folders:
        for path in _glob("*/", folder / cgroups.SLICE):
            if instance is None or Path(path).name in names:
                found.append(path)
    mounts = Path("/proc/self/mountinfo").read_text()
    return [*found, *(line for line in mounts.splitlines() if str(RUN_FOLDER) in line)]


@pytest.fixture(params=RUNTIMES)
async def runner(request, anyio_backend) -> AsyncIterator[Runner]:
    async with Runner.open(config(request.param)) as runner:
        yield runner
    assert traces(runner.instance) == []


def cases(runtime: str) -> list[str]:
    return [name for name in CASES if runtime in OF_KERNEL or name not in OTHERWISE]


@cache
def outcomes(runtime: str) -> dict[str, RunResult]:
    """How all programs of test_outcomes end, run side by side.

    No fixture: of one that is parametrized together with ``name`` pytest makes a new one for each test.
    """
    results: dict[str, RunResult] = {}

    async def run_one(runner: Runner, name: str) -> None:
        asked = RunRequest(command=CASES[name].command, limits=CASES[name].limits)
        results[name] = await runner.run(asked)

    async def run_all() -> None:
        async with Runner.open(config(runtime)) as runner, anyio.create_task_group() as tasks:
            for name in cases(runtime):
                tasks.start_soon(run_one, runner, name)

    anyio.run(run_all)
    return results


@pytest.mark.parametrize(("runtime", "name"), [(each, name) for each in RUNTIMES for name in cases(each)])
def test_a_program_ends_as_it_does_on_docker(runtime, name):
    case, result = CASES[name], outcomes(runtime)[name]
    assert (result.status, result.exit_code, result.signal) == (case.status, case.exit_code, case.signal)
    assert set(result.limits_hit) == set(case.hits)
    assert all(count in (None, result.limits_hit[hit]) for hit, count in case.hits.items())
    assert case.check(result), result
    assert result.reason == ""
    assert result.usage.cpu_time >= 0
    assert result.usage.peak_memory > 0


@anyio_test
@each_of_kernel
async def test_the_doctor_finds_every_control(runtime):
    settings = config(runtime)
    async with Runner.open(replace(settings, max_memory="1g")) as runner:
        findings = [finding async for finding in examine(runner)]
    assert [finding for finding in findings if finding.status != "ok"] == []
    assert len(findings) > 30


@anyio_test
@pytest.mark.parametrize("runner", OF_KERNEL, indirect=True)
async def test_only_what_a_container_owns_is_shown_to_it(runner):
    code = "import os, json\nprint(json.dumps([path for path, _, _ in os.walk('/sys/fs/cgroup')]))"
    seen = json.loads((await runner.run(RunRequest(language="python", code=code))).stdout)
    # On version 2 it is the root of what it sees.
    below = () if cgroups.find_hierarchies().unified else cgroups.COUNTERS
    assert set(seen) == {"/sys/fs/cgroup", *(f"/sys/fs/cgroup/{name}" for name in below)}


@anyio_test
async def test_live_containers_have_different_users_and_cgroups(runner):
    seen = []

    async def look() -> None:
        async with runner.stream(RunRequest(command=["sh", "-c", "id -u; sleep 1000"])) as events:
            async for event in events:
                if isinstance(event, Output):
                    seen.append(event.data)
                    break
            while len(seen) < 4:
                await anyio.sleep(0.01)

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(look)
    assert len(set(seen)) == 4


@anyio_test
async def test_a_cancelled_run_says_so_and_is_gone(runner):
    asked = RunRequest(command=["sh", "-c", "trap '' TERM INT; echo ready; sleep 1000; sleep 1000"])
    async with runner.stream(asked) as events:
        async for event in events:
            if isinstance(event, Output):
                break
        assert [run.run_id for run in list_runs(instance=runner.instance)] == [events.run_id]
        events.cancel()
        result = await events.result()
    assert (result.status, result.stdout) == ("cancelled", "ready\n")
    assert list_runs(instance=runner.instance) == []


@anyio_test
async def test_a_run_that_is_cancelled_at_any_moment_of_its_start_leaves_nothing(runner):
    for moment in range(12):
        with anyio.move_on_after(moment * 0.01):
            await runner.run(RunRequest(command=["sleep", "1000"]))
        assert list_runs(instance=runner.instance) == []


@anyio_test
async def test_a_container_that_is_killed_from_outside_is_a_result(runner):
    async with runner.stream(RunRequest(command=["sh", "-c", "echo ready; sleep 1000"])) as events:
        async for event in events:
            if isinstance(event, Output):
                break
        (run,) = list_runs(instance=runner.instance)
        os.kill(Bundle(runner.instance, run.container_id).pid(), signal.SIGKILL)
        result = await events.result()
    assert (result.status, result.reason) == ("signaled", "sandbox_broken")


@anyio_test
@pytest.mark.parametrize("profile", ["default", "strict"])
@pytest.mark.parametrize("probe", ["calls", "scan"])
async def test_every_system_call_gets_the_same_answer_from_crun_and_runc(profile, probe):
    asked = RunRequest(language="python", code=SYSCALLS.read_text(), args=[probe], profile=profile)
    answers = {}
    for runtime in OF_KERNEL:
        async with Runner.open(config(runtime)) as runner:
            result = await runner.run(asked)
        assert result.exit_code == 0, result.stderr
        answers[runtime] = json.loads(result.stdout)["answers"]
    assert len(answers["runc"]) > 20
    assert answers["crun"] == answers["runc"]


@anyio_test
async def test_auto_takes_it_where_no_docker_engine_answers_and_none_was_named(monkeypatch):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(connection, "_sockets", list)
    async with Runner.open(Config(engine="auto")) as runner:
        assert runner.engine_name == "oci"
        assert (await runner.run(RunRequest(language="python", code="print(1)"))).stdout == "1\n"
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with pytest.raises(EngineUnavailable, match="nowhere"):
        async with Runner.open(Config(engine="auto")):
            pass


@anyio_test
async def test_an_unknown_runtime_is_refused():
    with pytest.raises(ControlNotEnforced, match="oci_runtime"):
        async with open_oci_engine("kata"):
            pass


def left_by(pids: set[int]) -> list[str]:
    return [run.container_id for run in list_runs() if int(run.owner.split(":")[1]) in pids]


def kill_owners(runtime: str, count: int, *arguments: str) -> None:
    """Kills owners at random moments; fails where something is left of one."""
    before = set(traces())
    seen: set[int] = set()
    with nursery(SANDBOX_RUNNER_ENGINE="oci", SANDBOX_RUNNER_OCI_RUNTIME=runtime) as owners:
        for _ in range(count // BATCH):
            batch = owners.start(BATCH, *arguments)
            for owner in batch:
                # The moment is the attack: drawn anew for each, not waited for.
                time.sleep(random.uniform(0, LONGEST_RUN / BATCH))
                seen.add(len(left_by({owner})))
                kill(owner)
            killed = time.monotonic()
            wait_for_end(batch)
            while (left := set(traces()) - before) and time.monotonic() - killed < ALLOWED:
                pass
            assert left == set()
    assert 1 in seen, "no owner had a container when it was killed"


@pytest.mark.timeout(300)
@each_runtime
def test_kills_of_the_owner_at_random_moments_leave_nothing(runtime):
    kill_owners(runtime, KILLS)


@each_runtime
def test_reap_removes_what_an_owner_without_a_watchdog_left(runtime):
    script = "import os, anyio, sys; sys.argv = sys.argv[1:]\n" + OWNER.read_text().replace(
        "await runner.run(request)",
        "os.kill(next(c.pid for c in __import__('psutil').Process().children()), 9)\n"
        "            async with runner.stream(request) as s:\n"
        "                os.kill(os.getpid(), 19)\n",
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script, "owner"],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "SANDBOX_RUNNER_ENGINE": "oci", "SANDBOX_RUNNER_OCI_RUNTIME": runtime},
    )
    assert int(owner.stdout.readline()) == owner.pid
    os.waitpid(owner.pid, os.WUNTRACED)
    (name,) = left_by({owner.pid})
    assert name not in [run.container_id for run in reap()]
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert name in [run.container_id for run in reap()]
    assert left_by({owner.pid}) == []
    assert not [trace for trace in traces() if name in trace]


def test_reap_removes_the_folders_of_killed_runners_that_are_empty_for_some_time():
    old, new = (RUN_FOLDER / "bundles" / f"test-{kind}-{os.getpid()}" for kind in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 100,) * 2)
    try:
        reap()
        assert (old.exists(), new.exists()) == (False, True)
    finally:
        new.rmdir()


def test_what_a_runtime_writes_after_its_container_was_removed_goes_with_the_next_sweep():
    bundle = Bundle(f"test-{os.getpid()}", f"sandbox-runner-late-{os.getpid()}")
    bundle.write(json.dumps({"linux": {"cgroupsPath": "/sandbox-runner/none"}}))
    seen = set()
    remove_instance(bundle.instance, seen)
    assert not bundle.folder.exists()
    for late in bundle.sentry_state():
        late.parent.mkdir(parents=True, exist_ok=True)
        late.touch()
    remove_instance(bundle.instance, seen)
    assert not [late for late in bundle.sentry_state() if late.exists()]


@anyio_test
async def test_many_at_once_all_end(runner):
    asked = RunRequest(command=["true"], limits=Limits(memory="32m"))
    results = await asyncio.gather(*(runner.run(asked) for _ in range(40)))
    assert [result.status for result in results] == ["exited"] * 40
