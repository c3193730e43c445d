"""A session's container, and what runs in it. A step has limits of its own within those of the container."""

import math
from dataclasses import replace

from sandbox_runner import hardening
from sandbox_runner.errors import InvalidRequest
from sandbox_runner.languages import IMPORT, Language
from sandbox_runner.policy.admission import admit, compiler
from sandbox_runner.policy.checks import check
from sandbox_runner.policy.rules import Policy, artifact_caps
from sandbox_runner.program import make_job, make_kernel_job
from sandbox_runner.request import Principal, RunRequest
from sandbox_runner.spec import Admission, ContainerSpec, Image, Placement, Rlimit


def admit_session(
    policy: Policy,
    request: RunRequest,
    principal: Principal,
    *,
    language: Language | None,
    image: Image,
    placement: Placement,
    ttl: float,
    cpu_time: float,
) -> ContainerSpec:
    """The container for a session that lives ``ttl`` seconds at most; ``request`` is any that it could run.

    One process of it may take ``cpu_time`` seconds. Raises what `admit` raises.
    """
    if not image.agent:
        raise InvalidRequest(
            f"Image {image.name!r} has no sandbox_runner agent, so there can be no session in it; "
            "use one of our images."
        )
    spec = admit(policy, request, principal, language=language, image=image, placement=placement).spec
    waits = language is not None and language.kernel is not None and language.warm == IMPORT
    seconds = math.ceil(cpu_time) + hardening.RLIMIT_CPU_GRACE
    deadline = placement.created + math.ceil(ttl) + hardening.LEASE_GRACE
    return replace(
        spec,
        argv=spec.argv if waits else hardening.AGENT_ARGV,  # only such an interpreter can be the kernel
        env=spec.env if waits else hardening.BASE_ENV,
        preload=(),
        rlimits=tuple(
            Rlimit("cpu", seconds, seconds) if limit.name == "cpu" else limit for limit in spec.rlimits
        ),
        labels={**spec.labels, hardening.LABEL_DEADLINE: str(deadline)},
        lifetime=ttl,
    )


def admit_step(
    policy: Policy,
    request: RunRequest,
    *,
    language: Language | None,
    spec: ContainerSpec,
    kernel: str | None,
) -> Admission:
    """What runs ``request`` in the session's container ``spec``, in the kernel of that name, if any.

    Memory, cpus, pids and disk are the container's. Raises what `check` raises.
    """
    held = spec.limits
    limits = replace(
        check(policy, request, language=language),
        memory=held.memory,
        compile_memory=held.memory,
        cpus=held.cpus,
        pids=held.pids,
        workspace=held.workspace,
        tmp=held.tmp,
    )
    caps = artifact_caps(request, policy.ceilings)
    if kernel is not None and language is not None:
        return Admission(spec, make_kernel_job(request, language, spec.image, limits, caps, kernel=kernel))
    job = replace(make_job(request, language, spec.image, limits, caps), session=True)
    before = compiler(language, job)
    return Admission(spec, job if before is None else replace(job, files=()), before)
