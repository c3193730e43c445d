"""The doctor is green on a sound host, and red for exactly the control that was taken away."""

import json
import sys
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from doctor_controls import (
    CONTROLS,
    COVERED_APART,
    COVERED_TOGETHER,
    INSTANCE,
    NETWORK,
    Without,
    host,
    red,
    runner_without,
)

from sandbox_runner import running
from sandbox_runner.config import Config
from sandbox_runner.doctor import PROBES, diagnose, examine
from sandbox_runner.doctor.life import find_left, find_left_by_killed_owner
from sandbox_runner.engines.docker.inventory import list_runs
from sandbox_runner.output import Capture
from sandbox_runner.result import Collector

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_of_ours_left")]
ALL = frozenset(probe.control for probe in PROBES)
NOTHING_CHANGED = Without(red=red())
OWNER_WITHOUT_WATCHDOG = Path(__file__).parent / "payloads" / "owner_without_watchdog.py"


@pytest.fixture
def nothing_of_ours_left(docker_client):
    """Fails the test that leaves a container of its runner behind; others may use the engine, too."""
    yield
    left = list_runs(docker_client, instance=INSTANCE)
    # Docker 20.10 may go on listing one as removing when it is gone for good.
    assert [run for run in left if run.state != "removing"] == []


async def findings_of(control, monkeypatch, *, probes=PROBES, **options):
    async with runner_without(control, monkeypatch, **options) as runner:
        return [finding async for finding in examine(runner, probes=probes)]


def not_held(findings):
    return {finding.control: (finding.status, finding.evidence) for finding in findings if not finding.holds}


async def test_on_a_sound_host_every_control_holds(docker_client):
    findings = [finding async for finding in diagnose(Config())]
    assert not_held(findings) == {}
    expected = ALL | {"life.no_leak/runs", "life.no_leak/killed_owner"}
    assert {finding.control for finding in findings} >= expected


@pytest.fixture
def network(docker_client):
    """A network with a way out, as far as the host has one."""
    made = docker_client.create_network(NETWORK, driver="bridge")["Id"]
    yield
    docker_client.remove_network(made)


@pytest.fixture
def clean_shared_memory():
    """In the host's IPC namespace a trial leaves its file in the host's shared memory."""
    yield
    Path("/dev/shm/left-by-a-run").unlink(missing_ok=True)


@pytest.mark.usefixtures("network", "clean_shared_memory")
@pytest.mark.parametrize("name", CONTROLS)
async def test_a_control_that_is_taken_away_is_found_missing_and_no_other(monkeypatch, name):
    findings = await findings_of(CONTROLS[name], monkeypatch)
    missing = not_held(findings)
    assert set(missing) == CONTROLS[name].red, missing
    assert {status for status, _ in missing.values()} == {"failed"}
    assert all(finding.remedy for finding in findings if not finding.holds)


async def test_the_agent_refuses_to_share_process_ids_so_that_every_probe_is_red(monkeypatch):
    findings = await findings_of(host("proc.no_privilege/pid", PidMode="host"), monkeypatch)
    assert set(not_held(findings)) == ALL
    assert {finding.status for finding in findings} == {"unknown"}


async def test_output_that_is_kept_without_bound_is_found(monkeypatch):
    unbounded = partial(Collector, capture=1 << 30)
    monkeypatch.setattr(running, "Collector", lambda run_id, *, capture, displays: unbounded(run_id))
    assert set(not_held(await findings_of(NOTHING_CHANGED, monkeypatch))) == {"out.bounded/capture"}


async def test_output_that_is_not_counted_is_found(monkeypatch):
    counted = Capture.add
    monkeypatch.setattr(Capture, "add", lambda self, data: counted(self, data[:1000]))
    assert "out.bounded/capture" in not_held(await findings_of(NOTHING_CHANGED, monkeypatch))


class Reusing:
    """An engine that gives out one container for every run, where its spec allows it."""

    def __init__(self, engine, stack) -> None:
        self._engine, self._stack = engine, stack
        self._made = {}
        self.image, self.facts = engine.image, engine.facts

    @asynccontextmanager
    async def create(self, spec):
        if spec.limits not in self._made:
            self._made[spec.limits] = await self._stack.enter_async_context(self._engine.create(spec))
        yield self._made[spec.limits]


async def test_a_container_that_is_used_twice_is_found(monkeypatch, docker_client):
    async with AsyncExitStack() as stack:
        runner = await stack.enter_async_context(runner_without(NOTHING_CHANGED, monkeypatch))
        runner._engine = Reusing(runner._engine, await stack.enter_async_context(AsyncExitStack()))
        missing = not_held([finding async for finding in examine(runner)])
        assert set(missing) == {"life.single_use/files"}, missing
        left = await find_left(docker_client, INSTANCE)
    assert left.status == "failed"
    assert left.remedy


async def test_a_killed_owner_without_a_watchdog_is_found(docker_client):
    command = (sys.executable, str(OWNER_WITHOUT_WATCHDOG))
    finding = await find_left_by_killed_owner(docker_client, Config(), command=command)
    assert finding.status == "failed", finding
    assert "created" in finding.evidence


@pytest.mark.parametrize("command", [("true",), ("/nonexistent",), ("sh", "-c", "echo x; exec sleep 60")])
async def test_an_owner_that_does_not_do_its_part_is_unknown(docker_client, command):
    finding = await find_left_by_killed_owner(docker_client, Config(), command=command)
    assert finding.status == "unknown"
    assert finding.remedy


def test_every_probe_has_its_control_taken_away_by_a_test():
    tested = {control.partition(",")[0] for control in CONTROLS} | COVERED_TOGETHER | COVERED_APART
    assert tested == ALL


class Pretending:
    """An engine that has no image, or whose programs print something else."""

    def __init__(self, engine, *, image=None, output=None, broken=False) -> None:
        self._engine, self._image, self._output, self._broken = engine, image, output, broken
        self.facts = engine.facts

    async def image(self, name):
        return await self._engine.image(self._image or name)

    @asynccontextmanager
    async def create(self, spec):
        async with self._engine.create(spec) as made:
            self._made = made
            yield self

    async def execute(self, job, emit):
        if self._broken:
            job = replace(job, argv=("false",))
        if self._output is None:
            return await self._made.execute(job, emit)
        pending = deque([self._output])

        async def other(event):
            if pending and hasattr(event, "data"):
                await emit(replace(event, data=pending.popleft(), stream="stdout"))

        return await self._made.execute(job, other)

    async def cancel(self):
        await self._made.cancel()


async def test_without_the_image_every_probe_is_unknown_and_setup_is_the_remedy(monkeypatch):
    findings = await findings_of(
        NOTHING_CHANGED, monkeypatch, wrap=lambda engine: Pretending(engine, image="no-such-image")
    )
    assert {finding.control for finding in findings} == ALL
    assert {finding.status for finding in findings} == {"unknown"}
    assert {finding.remedy for finding in findings} == {"run: sandbox-runner setup"}


@pytest.mark.parametrize(
    "output", [b"", b"garbage", b"[]", b"{}", b"[" * 60000, b"1" * 70000, b'{"uids": "x"}', b"\xff\x00"]
)
async def test_a_report_that_is_garbage_is_unknown(monkeypatch, output):
    findings = await findings_of(
        NOTHING_CHANGED,
        monkeypatch,
        probes=[probe for probe in PROBES if probe.trial.reports],
        wrap=lambda engine: Pretending(engine, output=output),
    )
    assert {finding.status for finding in findings} == {"unknown"}


async def test_a_program_that_does_not_run_leaves_nothing_green(monkeypatch):
    findings = await findings_of(
        NOTHING_CHANGED, monkeypatch, wrap=lambda engine: Pretending(engine, broken=True)
    )
    assert set(not_held(findings)) == ALL


async def test_an_engine_that_does_not_answer_is_one_failure_with_its_remedy():
    findings = [finding async for finding in diagnose(Config(docker_host="unix:///nonexistent.sock"))]
    assert [finding.status for finding in findings] == ["failed"]
    assert findings[0].remedy == "run: sandbox-runner setup"


def test_the_command_ends_with_0_on_a_sound_host(sandbox_runner):
    shown = sandbox_runner("doctor", "--json")
    assert shown.returncode == 0, shown.stdout
    report = json.loads(shown.stdout)
    assert report["ok"] is True
    assert {finding["control"] for finding in report["findings"]} >= ALL


def test_the_command_ends_with_1_and_a_remedy_where_no_engine_answers(sandbox_runner):
    shown = sandbox_runner("doctor", "--set", "docker_host=unix:///nonexistent.sock")
    assert shown.returncode == 1
    assert "sandbox-runner setup" in shown.stdout
    assert shown.stderr == ""
