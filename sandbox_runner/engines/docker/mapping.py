"""A ContainerSpec in the words of the Docker Engine API: every field explicit, nothing inherited.

The API: https://docs.docker.com/reference/api/engine/version/v1.41/ (ContainerCreate).
"""

from typing import Any

from sandbox_runner.errors import ControlNotEnforced
from sandbox_runner.seccomp import load_profile
from sandbox_runner.spec import ContainerSpec, Rlimit

Json = dict[str, Any]

# A variable that the engine would add: a name alone takes it away. PID 1's environment can be the program's.
_NOT_ADDED = ["HOSTNAME"]


def create_body(spec: ContainerSpec) -> Json:
    """The body of POST /containers/create.

    Raises NotPermitted or ControlNotEnforced where the seccomp profile cannot be had, and for what
    the engine does not promise.
    """
    if spec.require_user_namespace:
        raise ControlNotEnforced(
            "The engine docker does not tell whether a container has a user namespace of its own, so nothing "
            "was run; use the engine oci, or switch require_user_namespace off."
        )
    return {
        "Image": spec.image.id,
        "User": f"{spec.uid}:{spec.gid}",
        "Entrypoint": list(spec.argv),
        "Cmd": [],
        "Env": [f"{name}={value}" for name, value in spec.env.items()] + _NOT_ADDED * spec.image.agent,
        "WorkingDir": spec.cwd,
        "Hostname": spec.hostname,
        "Domainname": "",
        "Labels": dict(spec.labels),
        "Tty": False,
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        # Our images resolve localhost by libnss-myhostname; without the endpoint a start takes half the time.
        "NetworkDisabled": spec.network == "none" and spec.image.agent,
        "ExposedPorts": {},
        "Volumes": {},
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGKILL",
        "StopTimeout": 0,
        "HostConfig": _host_config(spec),
        "NetworkingConfig": {"EndpointsConfig": {}},
    }


def _host_config(spec: ContainerSpec) -> Json:
    return {**_isolation(spec), **_limits(spec), **_lifecycle(spec), **_NOTHING_FROM_THE_HOST}


def _isolation(spec: ContainerSpec) -> Json:
    return {
        "Privileged": False,
        "CapAdd": list(spec.capabilities),
        "CapDrop": ["ALL"],
        "SecurityOpt": [
            f"no-new-privileges:{str(spec.no_new_privileges).lower()}",
            f"seccomp={load_profile(spec.seccomp)}",
        ],
        "ReadonlyRootfs": spec.read_only_root,
        "NetworkMode": spec.network,
        "IpcMode": "private",
        "PidMode": "",
        "UTSMode": "",
        "UsernsMode": "",
        "CgroupnsMode": "private",
        "GroupAdd": [],
        "MaskedPaths": list(spec.masked_paths),
        "ReadonlyPaths": list(spec.readonly_paths),
        "Tmpfs": {mount.path: ",".join(["rw", *mount.options()]) for mount in spec.tmpfs},
        "ShmSize": spec.shm_size,
        "Runtime": spec.oci_runtime or "",
        "Init": not spec.image.agent,
    }


def _limits(spec: ContainerSpec) -> Json:
    limits = spec.limits
    return {
        "Memory": limits.memory,
        "MemorySwap": limits.memory,
        "MemoryReservation": 0,
        "MemorySwappiness": None,
        "OomKillDisable": False,
        "OomScoreAdj": spec.oom_score_adj,
        "NanoCpus": round(limits.cpus * 1e9),
        "CpuShares": 0,
        "CpuPeriod": 0,
        "CpuQuota": 0,
        "CpusetCpus": "",
        "CpusetMems": "",
        "PidsLimit": limits.pids,
        "BlkioWeight": 0,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": [],
        "BlkioDeviceWriteBps": [],
        "BlkioDeviceReadIOps": [],
        "BlkioDeviceWriteIOps": [],
        "Ulimits": [_ulimit(rlimit) for rlimit in spec.rlimits],
        "CgroupParent": spec.cgroup_parent or "",
    }


def _lifecycle(spec: ContainerSpec) -> Json:
    return {
        # When the client dies, standard input ends, the agent with it, and the container removes itself.
        "AutoRemove": True,
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "LogConfig": {"Type": "none", "Config": {}},
        # Without an endpoint no resolver is copied in; a foreign image is given one that cannot answer.
        "Dns": [] if spec.image.agent else ["127.0.0.1"],
    }


_NOTHING_FROM_THE_HOST: Json = {
    "Binds": [],
    "Mounts": [],
    "VolumesFrom": [],
    "Devices": [],
    "DeviceCgroupRules": [],
    "DeviceRequests": [],
    "DnsOptions": [],
    "DnsSearch": [],
    "ExtraHosts": [],
    "Links": [],
    "PortBindings": {},
    "PublishAllPorts": False,
    "Sysctls": {},
}


def _ulimit(rlimit: Rlimit) -> Json:
    return {"Name": rlimit.name, "Soft": rlimit.soft, "Hard": rlimit.hard}
