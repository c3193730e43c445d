"""Ways to take one control away from the containers of a runner, on the side of the engine."""

import json
import os
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from weakened import UNSEALED, weakened_argv

from sandbox_runner.capacity import Capacity, Room
from sandbox_runner.config import Config
from sandbox_runner.engines.docker import begin, mapping
from sandbox_runner.engines.docker.engine import open_docker_engine
from sandbox_runner.keeping import open_keeper
from sandbox_runner.packages import PackageImages
from sandbox_runner.placement import Placements
from sandbox_runner.runner import Runner
from sandbox_runner.seccomp import load_profile
from sandbox_runner.sessions.snapshots import open_snapshots
from sandbox_runner.spec import Rlimit, Tmpfs
from sandbox_runner.watchdog import guarded

INSTANCE = f"doctor-test-{os.getpid()}"
NETWORK = f"sandbox-runner-doctor-test-{os.getpid()}"  # a network of the engine that the tests make
MIB = 1 << 20


def unchanged(value):
    return value


@dataclass(frozen=True, kw_only=True)
class Without:
    """Engine settings without one control; ``red``: the controls that the doctor must find missing."""

    red: frozenset[str]
    spec: Callable = unchanged
    body: Callable = unchanged
    job: Callable = unchanged
    profile: Callable = unchanged


def red(*controls: str) -> frozenset[str]:
    return frozenset(controls)


def field(*controls: str, **changes) -> Without:
    """A field of the spec changed."""
    return Without(red=red(*controls), spec=lambda spec: replace(spec, **changes))


def limit(*controls: str, **changes) -> Without:
    """A limit of the container changed."""
    return Without(
        red=red(*controls), spec=lambda spec: replace(spec, limits=replace(spec.limits, **changes))
    )


def agent_limit(*controls: str, **changes) -> Without:
    """A limit of the job changed."""
    return Without(red=red(*controls), job=lambda job: replace(job, limits=replace(job.limits, **changes)))


def host(*controls: str, **changes) -> Without:
    """A field of the create body's HostConfig changed, which a spec cannot say."""
    return Without(
        red=red(*controls), body=lambda body: {**body, "HostConfig": {**body["HostConfig"], **changes}}
    )


def calls(control: str, *names: str) -> Without:
    """System calls allowed that the profile refuses."""

    def allowing(profile: str) -> str:
        parsed = json.loads(profile)
        for rule in parsed["syscalls"]:
            rule["names"] = [name for name in rule["names"] if name not in names]
        rules = [rule for rule in parsed["syscalls"] if rule["names"]]
        rules.append({"names": list(names), "action": "SCMP_ACT_ALLOW"})
        return json.dumps({**parsed, "syscalls": rules})

    return Without(red=red(control), profile=allowing)


def larger_tmpfs(*controls: str, **factors: int) -> Without:
    def change(mount: Tmpfs) -> Tmpfs:
        return replace(mount, **{name: getattr(mount, name) * factor for name, factor in factors.items()})

    return Without(red=red(*controls), spec=lambda spec: replace(spec, tmpfs=tuple(map(change, spec.tmpfs))))


def as_root(spec):
    mounts = tuple(replace(mount, uid=mount.uid and 0) for mount in spec.tmpfs)
    return replace(spec, uid=0, gid=0, tmpfs=mounts)


def more_files(spec):
    others = tuple(rlimit for rlimit in spec.rlimits if rlimit.name != "nofile")
    return replace(spec, rlimits=(*others, Rlimit("nofile", 4096, 4096)))


def other_host_name(body):
    host_config = {**body["HostConfig"], "UTSMode": "host"}
    return {**body, "Hostname": "", "HostConfig": host_config}


def another_place(spec):
    place = Tmpfs(path="/mnt", size=MIB, inodes=16, mode=0o700, exec=False, uid=spec.uid)
    return replace(spec, tmpfs=(*spec.tmpfs, place))


def a_name_server(body):
    return {**body, "NetworkDisabled": False, "HostConfig": {**body["HostConfig"], "Dns": ["192.0.2.1"]}}


@asynccontextmanager
async def runner_without(control: Without, monkeypatch, *, wrap=unchanged, config: Config | None = None):
    """A runner whose engine leaves ``control`` out; ``wrap`` replaces its engine."""
    config = config or Config()

    def body(spec):
        return control.body(mapping.create_body(control.spec(spec)))

    monkeypatch.setattr(begin, "create_body", body)
    monkeypatch.setattr(mapping, "load_profile", lambda name: control.profile(load_profile(name)))

    async def measure() -> Room:
        return Room(4, 1 << 40)

    with guarded(INSTANCE, docker_host=None) as watchdog:
        async with open_docker_engine(None) as engine, open_keeper() as keeper:
            engine = wrap(Employing(engine, control.job))
            capacity = Capacity(measure, queue_size=4)
            placements = Placements(INSTANCE)
            packages = PackageImages(engine, config, capacity, placements, engine_name="docker")
            yield Runner(
                engine, config.policy(), capacity, watchdog, keeper, placements, open_snapshots(config),
                packages=packages,
            )  # fmt: skip


class Employing:
    """An engine whose containers get another job than they were sent."""

    def __init__(self, engine, job) -> None:
        self._engine = engine
        self._job = job
        self.image, self.facts = engine.image, engine.facts

    @asynccontextmanager
    async def create(self, spec):
        async with self._engine.create(spec) as made:
            yield Employed(made, self._job)


class Employed:
    def __init__(self, made, job) -> None:
        self._made = made
        self._job = job
        self.id, self.cancel = made.id, made.cancel

    async def execute(self, job, emit):
        return await self._made.execute(self._job(job), emit)


CONTROLS = {
    "net.none/interfaces": field(
        "net.none/interfaces", "net.none/routes", "net.none/packets", "net.none/names", network=NETWORK
    ),
    "net.none/names": Without(red=red("net.none/names"), body=a_name_server),
    "fs.root.read_only/root": field("fs.root.read_only/root", read_only_root=False),
    "fs.root.read_only/places": Without(red=red("fs.root.read_only/places"), spec=another_place),
    "fs.root.read_only/host": host("fs.root.read_only/host", Binds=["/usr/share:/mnt:ro"]),
    "fs.root.read_only/sizes": field("fs.root.read_only/sizes", shm_size=32 * MIB),
    "proc.no_privilege/user": Without(
        # Root owns /dev, and may list what PID 1 has open.
        red=red("proc.no_privilege/user", "fs.root.read_only/places", "proc.no_privilege/agent"),
        spec=as_root,
    ),
    "proc.no_privilege/capabilities": field("proc.no_privilege/capabilities", capabilities=("NET_RAW",)),
    "proc.no_privilege/setuid": field("proc.no_privilege/setuid", no_new_privileges=False),
    "proc.no_privilege/seccomp": host(
        "proc.no_privilege/seccomp", "proc.no_privilege/unshare", "proc.no_privilege/ptrace",
        "proc.no_privilege/kernel", "proc.no_privilege/sockets",
        SecurityOpt=["no-new-privileges:true", "seccomp=unconfined"],
    ),
    "proc.no_privilege/unshare": calls("proc.no_privilege/unshare", "unshare"),
    "proc.no_privilege/unshare, setns": calls("proc.no_privilege/unshare", "setns"),
    "proc.no_privilege/unshare, clone3": calls("proc.no_privilege/unshare", "clone3"),
    "proc.no_privilege/ptrace": calls("proc.no_privilege/ptrace", "ptrace"),
    "proc.no_privilege/ptrace, read": calls("proc.no_privilege/ptrace", "process_vm_readv"),
    "proc.no_privilege/kernel": calls("proc.no_privilege/kernel", "io_uring_setup"),
    "proc.no_privilege/kernel, keys": calls("proc.no_privilege/kernel", "keyctl", "add_key"),
    "proc.no_privilege/sockets": calls("proc.no_privilege/sockets", "socket"),
    "proc.no_privilege/ipc": host(
        # The host's shared memory has the host's size, and is seen by the next run.
        "proc.no_privilege/ipc", "fs.root.read_only/sizes", "life.single_use/files", IpcMode="host"
    ),
    "proc.no_privilege/uts": Without(red=red("proc.no_privilege/uts"), body=other_host_name),
    "proc.no_privilege/cgroup": host("proc.no_privilege/cgroup", CgroupnsMode="host"),
    "proc.no_privilege/devices": host(
        "proc.no_privilege/devices",
        Devices=[{"PathOnHost": "/dev/null", "PathInContainer": "/dev/other", "CgroupPermissions": "rwm"}],
    ),
    "proc.no_privilege/masked": field("proc.no_privilege/masked", masked_paths=()),
    "proc.no_privilege/settings": field("proc.no_privilege/settings", readonly_paths=()),
    "proc.no_privilege/agent": field("proc.no_privilege/agent", argv=weakened_argv(*UNSEALED)),
    "res/open_files": Without(red=red("res/open_files"), spec=more_files),
    "res/process": field("res/process", rlimits=(Rlimit("nofile", 1024, 1024),)),
    "res/swap": host("res/swap", MemorySwap=-1),
    "res/cores": limit("res/cores", cpus=2.0),
    "res/wall_time": agent_limit("res/wall_time", wall_time=30.0),
    "res/cpu_time": agent_limit("res/cpu_time", cpu_time=30.0),
    "res/memory": limit("res/memory", memory=512 * MIB),
    "res/pids": limit("res/pids", pids=1024),
    "res/disk": larger_tmpfs("res/disk", "fs.root.read_only/sizes", size=4),
    "res/inodes": larger_tmpfs("res/inodes", "fs.root.read_only/sizes", inodes=4),
    "res/output": agent_limit("res/output", output=64 * MIB),
}  # fmt: skip
COVERED_TOGETHER = {"net.none/routes", "net.none/packets"}  # what has an interface has routes and a way out
COVERED_APART = {"proc.no_privilege/pid", "out.bounded/capture", "life.single_use/files"}
