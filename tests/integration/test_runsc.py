"""gVisor's runsc, on a daemon and on the embedded engine: what is refused, and what a limit does there."""

from collections.abc import AsyncIterator
from contextlib import closing

import pytest
from gvisor_daemon import LIES, REFUSED
from test_oci_engine import traces
from test_outcomes import CASES

from sandbox_runner import Config, Limits, Runner, RunRequest
from sandbox_runner.doctor import PROBES, diagnose, examine
from sandbox_runner.doctor.enforcement import enforcer
from sandbox_runner.doctor.surroundings import Surroundings
from sandbox_runner.engines import gvisor
from sandbox_runner.engines.docker import begin, runtimes
from sandbox_runner.engines.docker import sentry as docker_sentry
from sandbox_runner.engines.docker.connection import connect
from sandbox_runner.engines.docker.inventory import list_runs
from sandbox_runner.engines.oci import sentry, starting
from sandbox_runner.engines.oci.runtime import Runtime
from sandbox_runner.errors import ControlNotEnforced, InvalidRequest

pytestmark = pytest.mark.anyio
ENGINES = ("docker", "oci")
MIB = 1 << 20
each_engine = pytest.mark.parametrize("engine", ENGINES)

HOGS = "x = b'x' * (256 << 20); print(len(x))"
UNFILTERED = "import ctypes; print(ctypes.CDLL(None).unshare(0x10000000) == 0)"  # CLONE_NEWUSER
FILES = """
number = 0
while True:
    open(f'/workspace/{number}', 'w').close()
    number += 1
"""
THREADS = "import threading; t = threading.Thread(target=print, args=('in a thread',)); t.start(); t.join()"
FORKS = """
import os, time
children = 0
try:
    while children < 100:
        if os.fork() == 0:
            time.sleep(1000)
        children += 1
except BlockingIOError:
    print(children)
"""
FORGES = """
import os, sys
sys.path.insert(0, '/usr/lib/sandbox-runner')
from agent import protocol
channel = os.open('/proc/1/fd/1', os.O_WRONLY)
os.write(channel, protocol.frame(protocol.STDERR, 1, b'opened'))
frame = protocol.frame(protocol.STDOUT, 1, b'x' * 60000)
for _ in range(100):
    os.write(channel, frame)
"""


@pytest.fixture
def configured(request):
    """Settings for ``engine`` with runsc."""

    def configure(engine: str, runtime: str = "runsc") -> Config:
        if engine == "oci":
            return Config(engine="oci", oci_runtime=runtime)
        address = request.getfixturevalue("gvisor_address")
        return Config(engine="docker", docker_host=address, oci_runtime=runtime)

    return configure


@pytest.fixture
async def runner(anyio_backend, configured, engine) -> AsyncIterator[Runner]:
    async with Runner.open(configured(engine)) as runner:
        yield runner
    assert left(configured(engine), runner.instance) == []


def left(config: Config, instance: str) -> list[object]:
    if config.engine == "oci":
        return list(traces(instance))
    with closing(connect(config.docker_host)) as client:
        return list(list_runs(client, instance=instance))


def python(code: str, **limits) -> RunRequest:
    return RunRequest(language="python", code=code, limits=Limits(**limits))


@pytest.mark.parametrize("registered", REFUSED)
async def test_a_registration_that_leaves_a_control_out_is_refused_and_the_control_is_named(
    configured, registered
):
    config = configured("docker", registered)
    async with Runner.open(config) as runner:
        with pytest.raises(ControlNotEnforced, match=REFUSED[registered][1]):
            await runner.run(python("print(1)"))
        assert left(config, runner.instance) == []


@pytest.mark.parametrize("registered", LIES)
async def test_a_runtime_that_does_otherwise_than_is_registered_is_known_by_its_sentry(
    configured, registered
):
    config = configured("docker", registered)
    async with Runner.open(config) as runner:
        with pytest.raises(ControlNotEnforced, match=LIES[registered][2]):
            await runner.run(python("print(1)"))
        assert left(config, runner.instance) == []


async def test_a_runtime_of_which_nothing_is_known_is_refused(configured):
    async with Runner.open(configured("docker", "of-another-kind")) as runner:
        with pytest.raises(ControlNotEnforced, match=r"of-another-kind.*set oci_runtime"):
            await runner.run(python("print(1)"))


async def test_runsc_as_the_daemons_default_has_to_be_named(configured, monkeypatch):
    told = runtimes.read_runtime
    monkeypatch.setattr(
        runtimes, "read_runtime", lambda info, wanted: told({**info, "DefaultRuntime": "runsc"}, wanted)
    )
    async with Runner.open(Config(docker_host=configured("docker").docker_host)) as runner:
        with pytest.raises(ControlNotEnforced, match="set oci_runtime to runsc"):
            await runner.run(python("print(1)"))


@pytest.mark.parametrize(
    ("registered", "code", "weakened"),
    [("without-cgroups", HOGS, f"{256 * MIB}\n"), ("without-seccomp", UNFILTERED, "True\n")],
    ids=["cgroups", "seccomp"],
)
async def test_what_is_refused_enforces_nothing_and_the_right_one_does(
    configured, monkeypatch, registered, code, weakened
):
    async with Runner.open(configured("docker")) as runner:
        assert (await runner.run(python(code, memory=64 * MIB))).stdout != weakened
    monkeypatch.setattr(gvisor, "require_flags", lambda flags: None)
    monkeypatch.setattr(begin, "require_held", lambda client, container, spec: None)
    async with Runner.open(configured("docker", registered)) as runner:
        assert (await runner.run(python(code, memory=64 * MIB))).stdout == weakened


@pytest.mark.parametrize("limit", ["memory", "pids", "cpus"])
async def test_a_limit_that_the_daemon_did_not_set_is_named(configured, monkeypatch, limit):
    whole = docker_sentry.adapt
    fields = {"memory": ("Memory", "MemorySwap"), "pids": ("PidsLimit",), "cpus": ("NanoCpus",)}

    def raised(body):
        host = whole(body)["HostConfig"]
        return {**body, "HostConfig": {**host, **{field: host[field] * 2 for field in fields[limit]}}}

    monkeypatch.setattr(begin, "adapt", raised)
    async with Runner.open(configured("docker")) as runner:
        with pytest.raises(ControlNotEnforced, match=f"the limit of {limit}"):
            await runner.run(python("print(1)", cpus=0.5))


FLAGS = {  # what is put in the place of an argument, and what the refusal says
    "no filter": ("--oci-seccomp", "--oci-seccomp=false", "seccomp"),
    "a way around all": ("--overlay2=none", "--allow-flag-override", "allow-flag-override"),
    "sockets of the host": ("--overlay2=none", "--host-uds=all", "host-uds"),
    "no cgroups": ("--overlay2=none", "--ignore-cgroups", "memory, cpus and pids"),
}


@pytest.fixture
def started_with(monkeypatch):
    """Has runsc started with another argument in the place of one of ours, behind the engine's back."""
    whole = Runtime.run

    def start(before: str, after: str) -> None:
        def changed(self, *arguments, **options):
            return [after if word == before else word for word in whole(self, *arguments, **options)]

        monkeypatch.setattr(Runtime, "run", changed)

    return start


@pytest.mark.parametrize("name", FLAGS)
async def test_a_sentry_that_runs_with_other_arguments_is_refused(
    monkeypatch, configured, started_with, name
):
    before, after, named = FLAGS[name]
    started_with(before, after)
    monkeypatch.setattr(starting.evidence, "is_in_cgroup", lambda pid, path: True)
    async with Runner.open(configured("oci")) as runner:
        with pytest.raises(ControlNotEnforced, match=named):
            await runner.run(python("print(1)"))
    assert traces(runner.instance) == []


async def test_a_sentry_outside_its_cgroups_is_refused(monkeypatch, configured, started_with):
    """Also where its arguments do not tell."""
    started_with("--overlay2=none", "--ignore-cgroups")
    monkeypatch.setattr(gvisor, "require_flags", lambda flags: None)
    monkeypatch.setattr(starting.evidence, "is_in_cgroup", lambda pid, path: True)
    async with Runner.open(configured("oci")) as runner:
        with pytest.raises(ControlNotEnforced, match="the cgroups to process"):
            await runner.run(python("print(1)"))


@each_engine
async def test_the_doctor_finds_each_control_but_those_that_the_table_tells_to_be_less(configured, engine):
    findings = [finding async for finding in diagnose(configured(engine))]
    controls = {probe.control for probe in PROBES}
    assert [finding for finding in findings if not finding.holds] == []
    less = {each.control for each in findings if each.status == "warning" and each.control in controls}
    assert less == {control for control in controls if enforcer(control, "runsc").note}
    for finding in findings:
        if not finding.control.startswith("host/"):
            assert finding.enforced_by == enforcer(finding.control, "runsc").by


async def test_what_is_seen_on_the_engines_machine_only_is_unknown_from_another_one(configured):
    here = Surroundings("runsc", local=False)
    probes = [probe for probe in PROBES if probe.control in ("res/swap", "res/cores")]
    async with Runner.open(configured("oci")) as runner:
        findings = [finding async for finding in examine(runner, probes=probes, here=here)]
    assert [finding.status for finding in findings] == ["unknown", "unknown"]


async def test_the_doctor_says_what_a_refused_runtime_lacks(configured):
    (finding,) = [each async for each in diagnose(configured("docker", "without-seccomp"))]
    assert (finding.status, finding.holds) == ("failed", False)
    assert "--oci-seccomp" in finding.evidence


@each_engine
@pytest.mark.parametrize("profile", ["default", "strict"])
async def test_threads_start_under_the_filter(runner, profile):
    result = await runner.run(RunRequest(language="python", code=THREADS, profile=profile))
    assert (result.stdout, result.stderr) == ("in a thread\n", "")


async def test_they_do_not_where_the_profile_is_told_as_to_runc(configured, monkeypatch):
    """With the newer runsc PID 1 cannot even start the command."""
    monkeypatch.setattr(sentry, "adapt", lambda config: None)
    async with Runner.open(configured("oci")) as runner:
        try:
            request = RunRequest(command=["python3", "-c", THREADS], limits=Limits(wall_time=10))
            ended_well = (await runner.run(request)).ok
        except InvalidRequest:
            ended_well = False
    assert not ended_well


@each_engine
async def test_processes_are_counted_inside_and_refused_as_the_kernel_does(runner):
    result = await runner.run(python(FORKS, pids=20, memory=512 * MIB))
    assert (result.status, result.exit_code) == ("exited", 0)
    assert 10 < int(result.stdout) < 20


async def test_without_the_count_inside_the_cgroup_ends_all(configured, monkeypatch):
    """Which shows that the count is the sentry's, and that the host is safe without it."""
    monkeypatch.setattr(gvisor, "_THREADS_PER_PROCESS", 0)
    whole = sentry.adapt

    def uncounted(config):
        whole(config)
        limits = config["process"]["rlimits"]
        config["process"]["rlimits"] = [each for each in limits if each["type"] != "RLIMIT_NPROC"]

    monkeypatch.setattr(starting.sentry, "adapt", uncounted)
    monkeypatch.setattr(sentry, "_inside", lambda taken, spec: [])
    async with Runner.open(configured("oci")) as runner:
        result = await runner.run(python(FORKS, pids=20, memory=512 * MIB))
    assert (result.status, result.reason) == ("signaled", "sandbox_broken")


@each_engine
@pytest.mark.parametrize("name", ["outgrows its memory", "has a child that outgrows its memory"])
async def test_memory_that_is_used_up_ends_the_whole_sandbox(runner, engine, name):
    case = CASES[name]
    result = await runner.run(RunRequest(command=case.command, limits=case.limits))
    assert (result.status, result.exit_code, result.reason) == ("out_of_memory", None, "sandbox_broken")
    assert result.limits_hit["memory"] >= 1
    if engine == "oci":
        assert 0 < result.usage.peak_memory <= 128 * MIB


@each_engine
async def test_files_without_content_meet_the_limit_of_memory(runner):
    """gVisor counts no files: their number is not limited, what they take is."""
    result = await runner.run(python(FILES, memory=64 * MIB, wall_time=60, cpu_time=60))
    assert result.status == "out_of_memory"


@pytest.mark.parametrize("engine", ["docker"])
async def test_frames_that_a_program_forges_get_no_more_through_than_the_limit_of_output(runner):
    """With Docker PID 1's channel is a pipe, which gVisor lets a program open; the host counts, too."""
    result = await runner.run(python(FORGES, output=MIB))
    assert (result.status, result.reason) == ("signaled", "sandbox_broken")
    assert result.stderr == "opened"
    assert 0 < result.captured["stdout"].total <= MIB


@pytest.mark.parametrize("engine", ["oci"])
async def test_the_channel_of_the_embedded_engine_cannot_be_opened(runner):
    result = await runner.run(python(FORGES, output=MIB))
    assert result.exit_code == 1
    assert "No such device or address" in result.stderr
