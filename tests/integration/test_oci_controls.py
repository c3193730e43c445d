"""What the embedded engine refuses: a runtime that leaves a control out, and a limit that was not set."""

from dataclasses import replace

import pytest
from test_oci_engine import OF_KERNEL, RUNTIMES, anyio_test, config, each_runtime

from sandbox_runner import Limits, Runner, RunRequest
from sandbox_runner.engines.oci import cgroups, starting
from sandbox_runner.engines.oci.inventory import list_runs
from sandbox_runner.engines.oci.runtime import Runtime
from sandbox_runner.errors import ControlNotEnforced, StartFailed


def changed(part: str, **changes):
    """A way to leave a control out of a bundle behind the engine's back."""

    def change(config):
        config[part].update(changes)
        return config

    return change


WEAKENED = {
    "Seccomp": changed("linux", seccomp=None),
    "NoNewPrivs": changed("process", noNewPrivileges=False),
    "CapBnd": changed(
        "process",
        capabilities={name: ["CAP_NET_RAW"] for name in ("bounding", "effective", "permitted")},
    ),
    "Groups": changed("process", user={"uid": 20000, "gid": 20000, "additionalGids": [5]}),
    "namespace ipc": changed(
        "linux", namespaces=[{"type": name} for name in ("pid", "network", "uts", "mount", "cgroup")]
    ),
    "namespace net": changed(
        "linux", namespaces=[{"type": name} for name in ("pid", "ipc", "uts", "mount", "cgroup")]
    ),
}


# The namespaces are the sentry's own, whatever the bundle says.
LEFT_OUT = [
    (runtime, control)
    for runtime in RUNTIMES
    for control in WEAKENED
    if runtime in OF_KERNEL or "namespace" not in control
]


@anyio_test
@pytest.mark.parametrize(("runtime", "control"), LEFT_OUT)
async def test_a_runtime_that_leaves_a_control_out_is_refused(monkeypatch, runtime, control):
    whole = starting.bundle_config
    # Else crun applies the filter that it is given beside the profile.
    monkeypatch.setattr(starting, "filter_annotation", lambda profile: {})

    def weakened(*arguments, **named):
        config = WEAKENED[control](whole(*arguments, **named))
        config["linux"] = {name: part for name, part in config["linux"].items() if part is not None}
        return config

    monkeypatch.setattr(starting, "bundle_config", weakened)
    async with Runner.open(config(runtime)) as runner:
        with pytest.raises((ControlNotEnforced, StartFailed)) as refused:
            await runner.run(RunRequest(command=["true"]))
        assert list_runs(instance=runner.instance) == []
    assert control in str(refused.value) or isinstance(refused.value, StartFailed)


@anyio_test
async def test_a_runtime_that_ignores_cgroups_is_refused(monkeypatch):
    whole = Runtime.run

    def ignoring(self, *arguments, **named):
        command = whole(replace(self, joins=False), *arguments, **named)
        return [command[0], "--cgroup-manager=disabled", *command[1:]]

    monkeypatch.setattr(Runtime, "run", ignoring)
    monkeypatch.setattr(starting.cgroups, "enter", lambda hierarchies, path: None)
    async with Runner.open(config("crun")) as runner:
        with pytest.raises((ControlNotEnforced, StartFailed)):
            await runner.run(RunRequest(command=["true"]))


@anyio_test
async def test_a_limit_that_cannot_be_set_is_named(monkeypatch):
    set_by_us, looked_at = cgroups._limits, cgroups._limit_files

    def with_another(spec):
        yield from set_by_us(spec)
        yield "moods", "memory", "memory.moods", 1

    def with_another_looked_at(hierarchies, path, spec):
        yield from looked_at(hierarchies, path, spec)
        yield "moods", hierarchies.folders[0] / path / "memory.moods", 1

    # On version 2 the runtime sets them, and a limit that it does not know is found out by looking.
    unified = cgroups.find_hierarchies().unified
    name = "_limit_files" if unified else "_limits"
    monkeypatch.setattr(cgroups, name, with_another_looked_at if unified else with_another)
    async with Runner.open(config("crun")) as runner:
        with pytest.raises(ControlNotEnforced, match="moods"):
            await runner.run(RunRequest(command=["true"]))
        assert list_runs(instance=runner.instance) == []


@anyio_test
@each_runtime
@pytest.mark.parametrize("control", ["memory", "pids", "cpus"])
async def test_a_limit_that_was_not_set_is_named(monkeypatch, runtime, control):
    """The container is made with a limit above the one that is asked for."""
    weaker = {"memory": 8, "pids": 2, "cpus": 2}
    whole, bundle = cgroups.make_cgroups, starting.bundle_config

    def raised(spec):
        value = getattr(spec.limits, control) * weaker[control]
        return replace(spec, limits=replace(spec.limits, **{control: value}))

    monkeypatch.setattr(cgroups, "make_cgroups", lambda h, path, spec: whole(h, path, raised(spec)))
    monkeypatch.setattr(starting, "bundle_config", lambda spec, **rest: bundle(raised(spec), **rest))
    async with Runner.open(config(runtime)) as runner:
        with pytest.raises(ControlNotEnforced, match=control):
            await runner.run(RunRequest(command=["true"], limits=Limits(memory=(64 << 20) + 1, cpus=0.5)))
        assert list_runs(instance=runner.instance) == []
