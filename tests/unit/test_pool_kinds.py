"""Which runs a waiting container can serve: those whose own would be like it in all but its marks."""

from dataclasses import fields, replace

import pytest

from sandbox_runner import Config, Limits, Principal, RunRequest, hardening
from sandbox_runner.languages import find_language
from sandbox_runner.policy import admit
from sandbox_runner.pool.kind import kind_of, started_ahead
from sandbox_runner.spec import ContainerSpec, Image, Placement, ResolvedLimits

IMAGE = Image("sha256:1", "python", agent=True)


def placed(run_id: str, uid: int) -> Placement:
    return Placement(run_id=run_id, instance="i", owner="o", uid=uid, created=1000)


CONFIG = Config()
PLACE = placed("a", 20001)


def spec(*, config=CONFIG, principal="p", place=PLACE, image=IMAGE, **request) -> ContainerSpec:
    asked = RunRequest(language="python", code="1", **request)
    language = find_language("python")
    return admit(
        config.policy(), asked, Principal(principal), language=language, image=image, placement=place
    ).spec


PLAIN = spec()


@pytest.mark.parametrize(
    "other",
    [
        spec(place=placed("b", 20002)),
        spec(principal="q"),
        spec(stdin=b"x"),
        spec(limits=Limits(wall_time=5)),
        spec(limits=Limits(cpu_time=3)),
        spec(limits=Limits(capture=1, output=2)),
    ],
)
def test_what_travels_with_the_job_does_not_divide(other):
    assert kind_of(other) == kind_of(PLAIN)


@pytest.mark.parametrize(
    "other",
    [
        spec(limits=Limits(memory="64m")),
        spec(limits=Limits(cpus=0.5)),
        spec(limits=Limits(pids=9)),
        spec(limits=Limits(workspace="1m")),
        spec(limits=Limits(tmp="1m")),
        spec(limits=Limits(cpu_time=100)),  # another limit of the kernel's on each process
        spec(profile="strict"),
        spec(env={"A": "b"}),  # no interpreter can wait for a program with other variables
        spec(args=["x"]),
        spec(image=replace(IMAGE, id="sha256:2")),
        spec(config=Config(oci_runtime="runsc")),
        spec(config=Config(cgroup_parent="/x")),
    ],
)
def test_what_the_container_is_made_with_divides(other):
    assert kind_of(other) != kind_of(PLAIN)


@pytest.mark.parametrize("name", [each.name for each in fields(ContainerSpec)])
def test_every_field_divides_but_those_that_only_mark_a_container(name):
    """A field that someone adds divides by itself."""
    other = {
        "limits": replace(PLAIN.limits, memory=1), "tmpfs": (), "rlimits": (), "env": {"A": "b"},
        "labels": {"a": "b"}, "image": replace(IMAGE, name="other"),
    }.get(name, "changed")  # fmt: skip
    changed = replace(PLAIN, **{name: other})
    assert (kind_of(changed) == kind_of(PLAIN)) is (name in ("name", "uid", "gid", "labels"))


def test_every_limit_divides_but_those_that_travel_with_the_job():
    alike = {
        each.name
        for each in fields(ResolvedLimits)
        if kind_of(replace(PLAIN, limits=replace(PLAIN.limits, **{each.name: 7}))) == kind_of(PLAIN)
    }
    assert alike == {"wall_time", "cpu_time", "capture", "output", "compile_time", "compile_memory"}


def test_limits_that_the_engine_can_change_do_not_divide():
    other = replace(PLAIN, limits=replace(PLAIN.limits, memory=1, pids=5))
    assert kind_of(other, resizes=["memory", "pids"]) == kind_of(PLAIN, resizes=["memory", "pids"])
    assert kind_of(other, resizes=["memory"]) != kind_of(PLAIN, resizes=["memory"])


def test_an_image_without_the_agent_has_no_kind():
    foreign = RunRequest(command=["true"], image="debian")
    made = admit(
        Config().policy(), foreign, Principal("p"), language=None,
        image=Image("sha256:3", "debian", agent=False), placement=placed("a", 20001),
    )  # fmt: skip
    assert kind_of(made.spec) is None


def test_one_that_is_started_ahead_is_the_same_container_but_for_its_marks():
    ahead = started_ahead(PLAIN, placed("w", 30000), lease=100.5)
    assert kind_of(ahead) == kind_of(PLAIN)
    assert (ahead.name, ahead.uid, ahead.gid) == ("sandbox-runner-w", 30000, 30000)
    assert {mount.uid for mount in ahead.tmpfs} == {30000, None}
    assert ahead.labels[hardening.LABEL_RUN] == "w"
    assert ahead.labels[hardening.LABEL_PRINCIPAL] == ""
    assert ahead.labels[hardening.LABEL_DEADLINE] == str(1000 + 101 + hardening.LEASE_GRACE)
    assert hardening.LABEL_AHEAD in ahead.labels
    assert hardening.LABEL_AHEAD not in PLAIN.labels
