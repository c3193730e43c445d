"""What runsc is told, what its arguments tell, and which runtimes of a daemon may be used."""

import json
from pathlib import Path

import pytest

from sandbox_runner.doctor import PROBES
from sandbox_runner.doctor.enforcement import CONTROLS, NOTHING, RUNTIMES, enforcer, table
from sandbox_runner.engines import gvisor
from sandbox_runner.engines.docker.runtimes import read_runtime
from sandbox_runner.engines.docker.sentry import adapt
from sandbox_runner.errors import ControlNotEnforced
from sandbox_runner.seccomp import load_profile

SECURITY = Path(__file__).parents[2] / "SECURITY.md"
RIGHT = list(gvisor.NEEDED)
LIFE = {"life.no_leak/runs", "life.no_leak/killed_owner"}


def info(path="/usr/bin/runsc", arguments=RIGHT, default="runc"):
    mine = {"path": path, "runtimeArgs": arguments}
    return {"DefaultRuntime": default, "Runtimes": {"runc": {"path": "runc"}, "mine": mine}}


def test_flags_end_where_the_command_begins():
    words = ["--root=/x", "--oci-seccomp", "-network=none", "boot", "--ignore-cgroups", "name"]
    assert gvisor.parse_flags(words) == {"root": "/x", "oci-seccomp": "true", "network": "none"}


@pytest.mark.parametrize(
    "more", [[], ["--platform=systrap"], ["--debug", "--debug-log=/tmp/x/"], ["--ignore-cgroups=false"]]
)
def test_flags_that_change_nothing_are_taken(more):
    gvisor.require_flags(gvisor.parse_flags([*RIGHT, *more]))


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ([], "net.none"),
        (["--network=none"], "seccomp"),
        (["--network=none", "--oci-seccomp=false"], "seccomp"),
        (["--network=none", "--oci-seccomp=0"], "seccomp"),
        (["--network=host", "--oci-seccomp"], "net.none"),
        (["--network", "none", "--oci-seccomp"], "net.none"),
        ([*RIGHT, "--ignore-cgroups"], "memory, cpus and pids"),
        ([*RIGHT, "--ignore-cgroups=1"], "memory, cpus and pids"),
        ([*RIGHT, "-rootless"], "memory, cpus and pids"),
        ([*RIGHT, "--TESTONLY-unsafe-nonroot"], "TESTONLY-unsafe-nonroot"),
        ([*RIGHT, "--nvproxy"], "nvproxy"),
        ([*RIGHT, "--network=sandbox"], "net.none"),
    ],
)
def test_flags_that_leave_a_control_out_are_refused_and_it_is_named(flags, named):
    with pytest.raises(ControlNotEnforced, match=named):
        gvisor.require_flags(gvisor.parse_flags(flags))


@pytest.mark.parametrize(
    ("told", "wanted", "program", "has_sentry"),
    [
        (info(), "mine", "runsc", True),
        (info(), None, "runc", False),
        (info(path="/opt/crun", arguments=None), "mine", "crun", False),
        (info(path="/opt/crun", arguments=None, default="mine"), None, "crun", False),
    ],
)
def test_a_runtime_is_known_by_its_program(told, wanted, program, has_sentry):
    found = read_runtime(told, wanted)
    assert (found.program, found.has_sentry) == (program, has_sentry)


@pytest.mark.parametrize(
    ("told", "wanted", "named"),
    [
        (info(), "other", "other"),
        (info(arguments=None), "mine", "net.none"),
        (info(path="/bin/kata-runtime"), "mine", "kata-runtime"),
        (info(path="/bin/kata-runtime", default="mine"), None, "kata-runtime"),
        (info(path=""), "mine", "no path"),
        (info(default="mine"), None, "set oci_runtime to mine"),
        ({}, None, "oci_runtime"),
        ({"Runtimes": {"mine": None}}, "mine", "mine"),
    ],
)
def test_a_runtime_that_is_not_known_to_enforce_all_is_refused(told, wanted, named):
    with pytest.raises(ControlNotEnforced, match=named):
        read_runtime(told, wanted)


def test_the_profile_for_runsc_allows_what_it_allowed_and_nothing_else():
    option = f"seccomp={load_profile('default')}"
    adapted = adapt({"HostConfig": {"SecurityOpt": ["no-new-privileges:true", option]}})
    kept, changed = adapted["HostConfig"]["SecurityOpt"]
    assert kept == "no-new-privileges:true"
    before, after = (json.loads(each.removeprefix("seccomp=")) for each in (option, changed))
    assert after.keys() == before.keys()
    for old, new in zip(before["syscalls"], after["syscalls"], strict=True):
        assert set(new["names"]) - set(old["names"]) <= {"pselect"}
        assert new["action"] == old["action"] or (old["errnoRet"], new["action"]) == (38, "SCMP_ACT_TRACE")
        assert new.get("args") == old.get("args")


@pytest.mark.parametrize("profile", ["default", "strict"])
def test_no_profile_lets_a_program_trace_so_that_a_traced_call_is_refused(profile):
    rules = json.loads(load_profile(profile))["syscalls"]
    allowed = {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert not allowed & {"ptrace", "seccomp"}


def test_the_table_has_every_control_that_the_doctor_looks_at_and_no_other():
    assert {probe.control for probe in PROBES} | LIFE == CONTROLS


def test_what_nothing_enforces_says_why_that_may_be():
    for control in CONTROLS:
        for runtime in RUNTIMES:
            one = enforcer(control, runtime)
            assert one.by
            assert one.note or one.by != NOTHING


def test_the_table_in_the_documents_is_this_one():
    assert table() in SECURITY.read_text("utf-8"), "put sandbox_runner.doctor.enforcement.table() there"
