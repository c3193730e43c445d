"""What is allowed and will be enforced: the container, and the job it is given.

Only `policy.admit` makes these. The words are those of the OCI runtime specification
where it has one. Sizes are bytes, times seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox_runner.request import InputFile, Stdin

WORKSPACE = "/workspace"


@dataclass(frozen=True, slots=True)
class Image:
    """An image as the engine has it. ``agent`` tells whether our agent is its PID 1.

    ``argv`` is its own command, ``env`` its variables as ``NAME=VALUE``, ``cwd`` its folder: of interest
    where it has no agent.
    """

    id: str
    name: str
    agent: bool
    argv: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What the runner allots to a run: ids, a user id no other live container has, who owns it.

    ``created`` is Unix time in seconds; ``owner`` tells `reap` whose crash left a container behind.
    """

    run_id: str
    instance: str
    owner: str
    uid: int
    created: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedLimits:
    """Every limit of a run, decided."""

    wall_time: float
    cpu_time: float
    memory: int
    cpus: float
    pids: int
    workspace: int
    tmp: int
    capture: int
    output: int
    compile_time: float
    compile_memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tmpfs:
    """A writable place in the container; ``uid`` None means owned by root, mode as given."""

    path: str
    size: int
    inodes: int
    mode: int
    exec: bool
    uid: int | None = None

    def options(self) -> list[str]:
        """As mount(8) takes them; tmpfs(5)."""
        owner = [] if self.uid is None else [f"uid={self.uid}", f"gid={self.uid}"]
        return [
            "nosuid",
            "nodev",
            "exec" if self.exec else "noexec",
            f"size={self.size}",
            f"nr_inodes={self.inodes}",
            f"mode={self.mode:04o}",
            *owner,
        ]


@dataclass(frozen=True, slots=True)
class Rlimit:
    """A POSIX resource limit by its lower-case name, in setrlimit(2)'s unit for it."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """A container, complete: what an engine is not told here it must not add.

    ``require_user_namespace``: no container rather than one whose root is this machine's.
    ``preload`` are modules for its interpreter to import if it has to wait: see `Container.prepare`.
    ``lifetime`` is the most seconds that a session's container is used; None for a container of one run.
    """

    name: str
    image: Image
    argv: tuple[str, ...]
    env: Mapping[str, str]
    uid: int
    gid: int
    cwd: str
    hostname: str
    limits: ResolvedLimits
    tmpfs: tuple[Tmpfs, ...]
    shm_size: int
    rlimits: tuple[Rlimit, ...]
    seccomp: str
    capabilities: tuple[str, ...]
    no_new_privileges: bool
    read_only_root: bool
    network: str
    masked_paths: tuple[str, ...]
    readonly_paths: tuple[str, ...]
    oom_score_adj: int
    labels: Mapping[str, str]
    oci_runtime: str | None
    cgroup_parent: str | None
    require_user_namespace: bool = False
    preload: tuple[str, ...] = ()
    lifetime: float | None = None


@dataclass(frozen=True, slots=True)
class ArtifactCaps:
    """The most that is given back of a job: files, bytes of one, bytes of all."""

    count: int
    size: int
    total: int


NO_ARTIFACTS = ArtifactCaps(0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the container is to do: a program, its environment, files, stdin and limits.

    ``artifacts`` are patterns of files to give back, within ``artifact_caps`` and, where there is one, to
    the folder ``out``; ``value`` is for the program's value channel,
    which it has unless this is None. With ``displays`` what comes back on it are displays, as
    `displays` has them.

    A job of a ``session`` leaves other processes of its container alive. With a ``kernel`` the ``value`` is
    code, which the kernel of that name runs; the first job for it starts it, by ``argv``.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    files: tuple[InputFile, ...]
    stdin: Stdin
    limits: ResolvedLimits
    artifacts: tuple[str, ...] = ()
    artifact_caps: ArtifactCaps = NO_ARTIFACTS
    out: Path | None = None
    value: bytes | None = None
    displays: bool = False
    session: bool = False
    kernel: str | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that was allowed: the container for it and the job to hand to it.

    ``compile`` is a job before it, with limits of its own: the compiler, which leaves the program behind.
    """

    spec: ContainerSpec
    job: Job
    compile: Job | None = None
