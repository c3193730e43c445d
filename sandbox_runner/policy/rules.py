"""What an operator allows, and what follows from it for every run."""

from dataclasses import dataclass, replace

from sandbox_runner import hardening
from sandbox_runner.languages import Language
from sandbox_runner.request import RunRequest
from sandbox_runner.spec import ArtifactCaps, ResolvedLimits

CPU_GRACE = 1.0  # seconds over wall_time x cpus, so that the wall clock speaks first


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """The most that a request may ask for; units as in `request.Limits`, sizes in bytes."""

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
    code: int
    files: int
    file_bytes: int
    artifacts: int
    artifact: int
    artifact_bytes: int
    out_files: int
    out_file: int
    out_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long a session may last, in seconds: from its opening, without use, and of CPU time."""

    ttl: float
    idle: float
    cpu_time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The operator's defaults, ceilings and grants.

    ``cpu_time`` None means wall_time x cpus + 1 s. ``images`` are shell patterns for the
    image names a request may name itself; ``profiles`` the seccomp profiles it may pick; ``packages``
    and ``refused_packages`` patterns of packages as `requirements.matches` takes them.
    """

    wall_time: float
    cpu_time: float | None
    memory: int
    cpus: float
    pids: int
    workspace: int
    tmp: int
    capture: int
    output: int
    compile_time: float
    compile_memory: int
    ceilings: Ceilings
    session: Terms
    session_ceilings: Terms
    profile: str
    profiles: tuple[str, ...]
    images: tuple[str, ...]
    oci_runtime: str | None
    cgroup_parent: str | None
    require_user_namespace: bool
    packages: tuple[str, ...]
    refused_packages: tuple[str, ...]


def artifact_caps(request: RunRequest, ceilings: Ceilings) -> ArtifactCaps:
    """The most that a run gives back: more to a folder than to memory."""
    if request.out is not None:
        return ArtifactCaps(ceilings.out_files, ceilings.out_file, ceilings.out_bytes)
    return ArtifactCaps(ceilings.artifacts, ceilings.artifact, ceilings.artifact_bytes)


def image_name(request: RunRequest, language: Language | None) -> str:
    """The image that a request wants: its own, its language's, or the shell image for a command."""
    return request.image or (language.image if language else hardening.COMMAND_IMAGE)


def container_limits(limits: ResolvedLimits, language: Language | None) -> ResolvedLimits:
    """The limits of a run's container: they hold its compiler as well, where ``language`` has one."""
    if language is None or language.compile is None:
        return limits
    compiling = compile_limits(limits)
    return replace(
        limits,
        wall_time=limits.wall_time + compiling.wall_time,
        cpu_time=max(limits.cpu_time, compiling.cpu_time),
        memory=max(limits.memory, compiling.memory),
    )


def compile_limits(limits: ResolvedLimits) -> ResolvedLimits:
    """The limits of the compiler of a run with ``limits``."""
    return replace(
        limits,
        wall_time=limits.compile_time,
        cpu_time=limits.compile_time * limits.cpus + CPU_GRACE,
        memory=limits.compile_memory,
    )
