"""How the doctor judges: nothing that a container prints makes it green by accident, or fall."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_runner.doctor import PROBES
from sandbox_runner.doctor.host import FLOORS, HostFacts, is_repaired, judge_host, read_facts
from sandbox_runner.doctor.outcome import Garbled, Outcome, parse_report
from sandbox_runner.events import Usage
from sandbox_runner.output import Captured
from sandbox_runner.result import RunResult

EMPTY = Captured(b"", b"", 0)
RESULT = RunResult(
    run_id="r",
    status="exited",
    exit_code=0,
    signal=None,
    reason="",
    captured={"stdout": EMPTY, "stderr": EMPTY},
    usage=Usage(wall_time=1.0),
)
BY_NAME = {probe.control: probe for probe in PROBES}
SOUND = {
    "parent": 1,
    "namespaces": {"pid": 4026532255, "ipc": 4026532254, "uts": 4026532253, "cgroup": 4026532325},
    "host_name": "sandbox",
    "groups": ["/"],
    "interfaces": ["lo"],
    "routes": [],
    "uids": [20000] * 4,
    "gids": [20000] * 5,
    "capabilities": dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0),
    "seccomp": 2,
    "no_new_privileges": 1,
    "group": {"memory": 100, "memory_and_swap": 100, "quota": 100000, "period": 100000, "host_swap": 0},
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)
keys = st.sampled_from(
    [*SOUND, "far", "name", "calls", "families", "reach", "spaces", "hard", "files", "found"]
)


def judged(control, **changes):
    return BY_NAME[control].finding(Outcome(RESULT, {**SOUND, **changes})).status


@given(st.text())
def test_a_report_that_is_any_text_is_an_object_or_garbled(text):
    with suppress(Garbled):
        assert isinstance(parse_report(text), dict)


@settings(max_examples=50)
@given(st.dictionaries(keys, json_values))
def test_a_report_of_anything_is_judged_without_an_exception(report):
    for probe in PROBES:
        probe.finding(Outcome(RESULT, json.loads(json.dumps(report))))


def test_an_empty_report_leaves_no_probe_green():
    assert [p.control for p in PROBES if p.finding(Outcome(RESULT, {})).holds] == []


@pytest.mark.parametrize(
    ("control", "changes"),
    [
        ("proc.no_privilege/pid", {"parent": 4242}),
        ("proc.no_privilege/pid", {"namespaces": {"pid": 0xEFFFFFFC}}),
        ("proc.no_privilege/cgroup", {"groups": ["/docker/0123"]}),
        ("proc.no_privilege/cgroup", {"namespaces": {"cgroup": 0xEFFFFFFB}}),
        ("proc.no_privilege/uts", {"host_name": "my-laptop"}),
        ("proc.no_privilege/user", {"gids": [20000, 20000, 20000, 20000, 0]}),
        ("net.none/interfaces", {"interfaces": ["lo", "eth0"]}),
        ("net.none/routes", {"routes": ["eth0"]}),
        ("res/swap", {"group": {"swap": -1}}),
        ("res/swap", {"group": {"host_swap": 1 << 30}}),
        ("res/swap", {"group": {"memory": 100, "memory_and_swap": 1 << 60, "host_swap": 0}}),
        ("res/cores", {"group": {"quota": -1, "period": 100000}}),
    ],
)
def test_one_observation_that_is_wrong_fails_its_probe(control, changes):
    assert judged(control) == "ok"
    assert judged(control, **changes) == "failed"


@pytest.mark.parametrize("group", [{"swap": 0}, {"host_swap": 0}, {"memory": 9, "memory_and_swap": 9}])
def test_no_swap_is_shown_by_either_version_of_control_groups_or_by_a_machine_without(group):
    assert judged("res/swap", group=group) == "ok"


@pytest.mark.parametrize(
    ("version", "repaired"),
    [
        ("1.1.5+ds1", False), ("1.3.5", False), ("1.3.6", True), ("1.4.2", False), ("1.4.3", True),
        ("1.5.1", True), ("2.0.0", True), ("unknown", None), ("", None),
    ],
)  # fmt: skip
def test_a_version_is_compared_with_the_floor_of_its_own_line(version, repaired):
    assert is_repaired(version, FLOORS["runc"][1]) is repaired


def test_old_versions_and_missing_layers_are_warnings_with_a_remedy_and_no_failures():
    old = HostFacts(
        components={"Engine": "20.10.24+dfsg1", "runc": "1.1.5"},
        kernel="6.1.0",
        cgroup="1",
        options=frozenset({"seccomp"}),
        swap_limit=False,
    )
    findings = judge_host(old)
    warned = {finding.control for finding in findings if finding.status == "warning"}
    assert warned == {
        "host/engine", "host/runc", "host/cgroup", "host/user_namespace", "host/lsm", "host/swap_accounting",
    }  # fmt: skip
    assert all(finding.holds for finding in findings)
    assert all(finding.remedy for finding in findings if finding.status == "warning")


def test_a_new_rootless_engine_with_apparmor_on_cgroup_2_has_no_warning():
    new = read_facts(
        {"Components": [{"Name": "Engine", "Version": "29.6.0"}, {"Name": "runc", "Version": "1.4.3"}]},
        {
            "KernelVersion": "7.0",
            "CgroupVersion": "2",
            "SwapLimit": True,
            "SecurityOptions": ["name=apparmor", "name=seccomp,profile=default", "name=rootless"],
        },
    )
    assert {finding.status for finding in judge_host(new)} == {"ok"}


@pytest.mark.parametrize("answer", [{}, {"Components": None, "SecurityOptions": "x"}, {"Components": ["x"]}])
def test_an_engine_that_tells_little_is_a_warning_at_most(answer):
    assert all(finding.holds for finding in judge_host(read_facts(answer, answer)))
