"""The container that installs packages: sealed like that of any run, with limits of its own."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sandbox_runner.hardening import LABEL_INSTALLS
from sandbox_runner.policy.admission import admit
from sandbox_runner.policy.packages import PackageRules
from sandbox_runner.policy.rules import Policy
from sandbox_runner.request import InputFile, Limits, Principal, RunRequest
from sandbox_runner.spec import WORKSPACE, Admission, Image, Placement

_INODES = 262_144  # packages are many small files
_OUTPUT = 4  # times the disk: all that was installed is printed, and what the installer says


def admit_build(
    policy: Policy,
    command: Sequence[str],
    files: Sequence[InputFile],
    principal: Principal,
    *,
    image: Image,
    placement: Placement,
    rules: PackageRules,
) -> Admission:
    """The container and the job for ``command``, which is ours. Raises what `admit` raises."""
    wanted: dict[str, Any] = {
        "wall_time": rules.time,
        "cpu_time": rules.time * policy.cpus,
        "memory": rules.memory,
        "workspace": rules.disk,
        "output": _OUTPUT * rules.disk,
    }
    policy = replace(policy, ceilings=replace(policy.ceilings, **wanted))
    request = RunRequest(command=tuple(command), files=tuple(files), limits=Limits(**wanted))
    admission = admit(policy, request, principal, language=None, image=image, placement=placement)
    tmpfs = tuple(
        replace(each, inodes=_INODES) if each.path == WORKSPACE else each for each in admission.spec.tmpfs
    )
    labels = {**admission.spec.labels, LABEL_INSTALLS: "1"}
    return replace(admission, spec=replace(admission.spec, tmpfs=tmpfs, labels=labels))
