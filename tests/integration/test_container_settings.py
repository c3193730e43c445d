"""Every setting of a real container, compared with the golden file; each one changed must be seen.

The golden file holds what the engine reports of a container for `SPEC`. A new field of the create
body needs a line in `CHANGES`, or the last test fails.
"""

import copy
import json
import secrets
from pathlib import Path

import docker.errors
import pytest

from sandbox_runner.config import Config
from sandbox_runner.engines.docker.mapping import create_body
from sandbox_runner.policy import admit
from sandbox_runner.request import LOCAL_USER, Limits, RunRequest
from sandbox_runner.seccomp import load_profile
from sandbox_runner.spec import Image, Placement

GOLDEN = Path(__file__).with_name("golden") / "container.json"
PLACEMENT = Placement(run_id="0123456789abcdef", instance="i", owner="o", uid=23456, created=1_700_000_000)

_EMPTY = ("", 0, None, False, [], {}, [0, 0])

# A different value for each field of the body, by path.
CHANGES = {
    "Image": None,  # set by the test: any other image
    "User": "0:0",
    "Entrypoint": ["/bin/sh"],
    "Cmd": ["x"],
    "Env": ["A=B"],
    "WorkingDir": "/",
    "Hostname": "other",
    "Domainname": "example",
    "Labels": {"a": "b"},
    "Tty": True,
    "OpenStdin": False,
    "StdinOnce": False,
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "NetworkDisabled": False,
    "ExposedPorts": {"80/tcp": {}},
    "Volumes": {"/v": {}},
    "Healthcheck": {"Test": ["CMD", "true"]},
    "StopSignal": "SIGTERM",
    "StopTimeout": 10,
    "HostConfig.Privileged": True,
    "HostConfig.CapAdd": ["NET_RAW"],
    "HostConfig.CapDrop": ["NET_RAW"],
    "HostConfig.SecurityOpt": ["no-new-privileges:true", "seccomp=unconfined"],
    "HostConfig.ReadonlyRootfs": False,
    "HostConfig.NetworkMode": "bridge",
    "HostConfig.IpcMode": "shareable",
    "HostConfig.PidMode": "host",
    "HostConfig.UTSMode": "host",
    "HostConfig.UsernsMode": "host",
    "HostConfig.CgroupnsMode": "host",
    "HostConfig.GroupAdd": ["0"],
    "HostConfig.MaskedPaths": [],
    "HostConfig.ReadonlyPaths": [],
    "HostConfig.Tmpfs": {"/workspace": "rw,suid"},
    "HostConfig.ShmSize": 1 << 26,
    "HostConfig.Runtime": "io.containerd.runc.v2",
    "HostConfig.Init": True,
    "HostConfig.Memory": 1 << 28,
    "HostConfig.MemorySwap": -1,
    "HostConfig.MemoryReservation": 1 << 24,
    "HostConfig.MemorySwappiness": 60,
    "HostConfig.OomKillDisable": True,
    "HostConfig.OomScoreAdj": 0,
    "HostConfig.NanoCpus": 2_000_000_000,
    "HostConfig.CpuShares": 2,
    "HostConfig.CpuPeriod": 50_000,
    "HostConfig.CpuQuota": 50_000,
    "HostConfig.CpusetCpus": "0",
    "HostConfig.CpusetMems": "0",
    "HostConfig.PidsLimit": -1,
    "HostConfig.BlkioWeight": 10,
    "HostConfig.BlkioWeightDevice": [{"Path": "/dev/null", "Weight": 10}],
    "HostConfig.BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": 1}],
    "HostConfig.BlkioDeviceWriteBps": [{"Path": "/dev/null", "Rate": 1}],
    "HostConfig.BlkioDeviceReadIOps": [{"Path": "/dev/null", "Rate": 1}],
    "HostConfig.BlkioDeviceWriteIOps": [{"Path": "/dev/null", "Rate": 1}],
    "HostConfig.Ulimits": [],
    "HostConfig.CgroupParent": "/other",
    "HostConfig.AutoRemove": False,
    "HostConfig.RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
    "HostConfig.LogConfig": {"Type": "json-file", "Config": {}},
    "HostConfig.Dns": ["192.0.2.1"],
    "HostConfig.Binds": ["/:/host"],
    "HostConfig.Mounts": [{"Type": "tmpfs", "Target": "/m"}],
    "HostConfig.VolumesFrom": None,  # set by the test: another container
    "HostConfig.Devices": [
        {"PathOnHost": "/dev/null", "PathInContainer": "/dev/n", "CgroupPermissions": "rwm"}
    ],
    "HostConfig.DeviceCgroupRules": ["c 1:1 rwm"],
    "HostConfig.DeviceRequests": [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}],
    "HostConfig.DnsOptions": ["ndots:1"],
    "HostConfig.DnsSearch": ["example"],
    "HostConfig.ExtraHosts": ["a:192.0.2.1"],
    "HostConfig.Links": None,  # set by the test: another container
    "HostConfig.PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "1"}]},
    "HostConfig.PublishAllPorts": True,
    "HostConfig.Sysctls": {"kernel.msgmax": "1"},
}


@pytest.fixture
def body(built_image) -> dict:
    request = RunRequest(language=None, command=["true"], limits=Limits())
    image = Image(id=built_image, name="shell", agent=True)
    admission = admit(Config().policy(), request, LOCAL_USER, language=None, image=image, placement=PLACEMENT)
    return create_body(admission.spec)


def inspected(client, body: dict) -> dict:
    """What the engine reports of a container made from ``body``; it is never started."""
    name = f"golden-{secrets.token_hex(4)}"
    warnings = client.create_container_from_config(body, name=name)["Warnings"]
    try:
        # A setting that this kernel cannot apply is dropped with a warning: `Engine.create` refuses then.
        return settings(client.inspect_container(name), body) | {"Warnings": warnings or []}
    finally:
        client.remove_container(name, force=True, v=True)


def settings(report: dict, body: dict) -> dict:
    """The settings in an inspection: those of ``body``, and any other that is not empty.

    Left out are the image's id and labels, which differ between builds.
    """
    profile = f"seccomp={load_profile('default')}"
    host = report["HostConfig"]
    host["SecurityOpt"] = [
        "seccomp=<default.json>" if option == profile else option for option in host["SecurityOpt"] or ()
    ]
    config = {name: value for name, value in report["Config"].items() if name != "Image"}
    config["Labels"] = {k: v for k, v in config["Labels"].items() if k in body["Labels"] or k == "a"}
    return {"Config": _told(config, body), "HostConfig": _told(host, body["HostConfig"])}


def _told(report: dict, asked: dict) -> dict:
    return {name: value for name, value in report.items() if name in asked or value not in _EMPTY}


def changed(body: dict, path: str, value) -> dict:
    copied = copy.deepcopy(body)
    *parents, last = path.split(".")
    place = copied
    for parent in parents:
        place = place[parent]
    assert last in place
    assert place[last] != value
    place[last] = value
    return copied


def test_a_container_has_exactly_the_golden_settings(docker_client, body):
    assert inspected(docker_client, body) == json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("path", [path for path, value in CHANGES.items() if value is not None])
def test_changing_one_setting_is_seen(docker_client, body, path):
    try:
        report = inspected(docker_client, changed(body, path, CHANGES[path]))
    except docker.errors.APIError as refusal:
        # The engine does not let the changed setting stand beside the others, so it cannot go unseen.
        assert refusal.status_code in (400, 409)
    else:
        assert report != json.loads(GOLDEN.read_text())


def test_another_image_is_seen(docker_client, body):
    assert body["Image"].startswith("sha256:")


def test_settings_that_name_another_container_are_seen(docker_client, body):
    other = docker_client.create_container_from_config(body, name=f"golden-{secrets.token_hex(4)}")["Id"]
    try:
        for field, value in (("VolumesFrom", [other]), ("Links", [f"{other}:other"])):
            report = inspected(docker_client, changed(body, f"HostConfig.{field}", value))
            assert report != json.loads(GOLDEN.read_text())
    finally:
        docker_client.remove_container(other, force=True, v=True)


def test_every_field_of_the_create_body_is_covered(body):
    fields = {name for name in body if name not in ("HostConfig", "NetworkingConfig")}
    fields |= {f"HostConfig.{name}" for name in body["HostConfig"]}
    assert fields == set(CHANGES)
