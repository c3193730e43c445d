"""What was allowed, as a container and its jobs."""

import math
from collections.abc import Mapping
from dataclasses import replace

from sandbox_runner import hardening
from sandbox_runner.languages import Language
from sandbox_runner.policy.checks import check
from sandbox_runner.policy.rules import Policy, artifact_caps, compile_limits, container_limits
from sandbox_runner.program import make_job, pid_1
from sandbox_runner.request import Principal, RunRequest
from sandbox_runner.spec import (
    WORKSPACE,
    Admission,
    ContainerSpec,
    Image,
    Job,
    Placement,
    ResolvedLimits,
    Rlimit,
    Tmpfs,
)


def admit(
    policy: Policy,
    request: RunRequest,
    principal: Principal,
    *,
    language: Language | None,
    image: Image,
    placement: Placement,
) -> Admission:
    """The container and the job for a request.

    Raises what `check` raises, and InvalidRequest where an image without our agent cannot
    do what is asked.
    """
    limits = check(policy, request, language=language)
    job = make_job(request, language, image, limits, artifact_caps(request, policy.ceilings))
    compiled = language if request.code is not None else None  # a command runs as it is
    before = compiler(compiled, job)
    argv, env = pid_1(request, language, image, job)
    waits = image.agent and argv != hardening.AGENT_ARGV
    preload = language.preload if language and waits else ()
    spec = _spec(
        policy, request, principal, image, placement, container_limits(limits, compiled),
        argv=argv, env=env, cwd=job.cwd, preload=preload,
    )  # fmt: skip
    if before is None:
        return Admission(spec, job)
    return Admission(spec, replace(job, files=()), before)


def compiler(language: Language | None, job: Job) -> Job | None:
    """The job before ``job``, which makes the program of its files."""
    if language is None or language.compile is None:
        return None
    return replace(
        job, argv=language.compile, stdin=b"", limits=compile_limits(job.limits),
        artifacts=(), out=None, value=None, displays=False,
    )  # fmt: skip


def _spec(
    policy: Policy,
    request: RunRequest,
    principal: Principal,
    image: Image,
    placement: Placement,
    limits: ResolvedLimits,
    *,
    argv: tuple[str, ...],
    env: Mapping[str, str],
    cwd: str,
    preload: tuple[str, ...],
) -> ContainerSpec:
    return ContainerSpec(
        name=f"sandbox-runner-{placement.run_id}",
        image=image,
        argv=argv,
        env=env,
        uid=placement.uid,
        gid=placement.uid,
        cwd=cwd,
        hostname=hardening.HOSTNAME,
        limits=limits,
        tmpfs=_tmpfs(limits, placement.uid),
        shm_size=hardening.SHM_SIZE,
        rlimits=_rlimits(limits, image),
        seccomp=request.profile or policy.profile,
        capabilities=(),
        no_new_privileges=True,
        read_only_root=True,
        network="none",
        masked_paths=hardening.MASKED_PATHS,
        readonly_paths=hardening.READONLY_PATHS,
        oom_score_adj=hardening.OOM_SCORE_ADJ,
        labels=_labels(request, principal, placement, limits),
        oci_runtime=policy.oci_runtime,
        cgroup_parent=policy.cgroup_parent,
        require_user_namespace=policy.require_user_namespace,
        preload=preload,
    )


def _tmpfs(limits: ResolvedLimits, uid: int) -> tuple[Tmpfs, ...]:
    return (
        Tmpfs(path=WORKSPACE, size=limits.workspace, inodes=16384, mode=0o700, exec=True, uid=uid),
        Tmpfs(path="/tmp", size=limits.tmp, inodes=4096, mode=0o1777, exec=False),  # noqa: S108 - the container's
    )


def _rlimits(limits: ResolvedLimits, image: Image) -> tuple[Rlimit, ...]:
    # Few values, so that one waiting container serves runs of different times.
    step = hardening.RLIMIT_CPU_STEP if image.agent else 1
    cpu = math.ceil((math.ceil(limits.cpu_time) + hardening.RLIMIT_CPU_GRACE) / step) * step
    fsize = max(limits.workspace, limits.tmp) + hardening.RLIMIT_FSIZE_GRACE
    return (*hardening.RLIMITS, Rlimit("cpu", cpu, cpu), Rlimit("fsize", fsize, fsize))


def _labels(
    request: RunRequest, principal: Principal, placement: Placement, limits: ResolvedLimits
) -> dict[str, str]:
    deadline = placement.created + math.ceil(limits.wall_time) + hardening.LEASE_GRACE
    return {
        hardening.LABEL_MANAGED: "1",
        hardening.LABEL_INSTANCE: placement.instance,
        hardening.LABEL_OWNER: placement.owner,
        hardening.LABEL_RUN: placement.run_id,
        hardening.LABEL_PRINCIPAL: principal.id,
        hardening.LABEL_LANGUAGE: request.language or "",
        hardening.LABEL_CREATED: str(placement.created),
        hardening.LABEL_DEADLINE: str(deadline),
    }
