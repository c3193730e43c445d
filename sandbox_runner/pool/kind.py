"""What must be alike for a waiting container to serve a run, and the container that is started ahead."""

import math
from collections.abc import Collection, Hashable, Mapping
from dataclasses import fields, replace

from sandbox_runner import hardening
from sandbox_runner.spec import ContainerSpec, Placement, Tmpfs

Kind = Hashable

# All else must be equal: a field that someone adds later divides the kinds until it is named here.
_OF_ONE_CONTAINER = {"name", "uid", "gid", "labels", "limits"}
_IN_THE_JOB = {"wall_time", "cpu_time", "capture", "output", "compile_time", "compile_memory"}


def kind_of(spec: ContainerSpec, *, resizes: Collection[str] = ()) -> Kind | None:
    """The kind of container that ``spec`` wants; None for one that cannot wait.

    Limits that the engine ``resizes`` do not divide. In an image without the agent PID 1 is the program.
    """
    if not spec.image.agent:
        return None
    limits = tuple(
        getattr(spec.limits, each.name)
        for each in fields(spec.limits)
        if each.name not in _IN_THE_JOB and each.name not in resizes
    )
    return limits, tuple(
        _plain(getattr(spec, each.name)) for each in fields(spec) if each.name not in _OF_ONE_CONTAINER
    )


def started_ahead(spec: ContainerSpec, placement: Placement, *, lease: float) -> ContainerSpec:
    """The container of ``spec`` for a run that is still to come, placed by itself.

    It may be removed by anyone ``lease`` seconds after it was made, and the usual grace.
    """
    uid = placement.uid
    return replace(
        spec,
        name=f"sandbox-runner-{placement.run_id}",
        uid=uid,
        gid=uid,
        tmpfs=tuple(mount if mount.uid is None else replace(mount, uid=uid) for mount in spec.tmpfs),
        labels={
            **spec.labels,
            hardening.LABEL_INSTANCE: placement.instance,
            hardening.LABEL_OWNER: placement.owner,
            hardening.LABEL_RUN: placement.run_id,
            hardening.LABEL_PRINCIPAL: "",
            hardening.LABEL_CREATED: str(placement.created),
            hardening.LABEL_DEADLINE: str(placement.created + math.ceil(lease) + hardening.LEASE_GRACE),
            hardening.LABEL_AHEAD: "1",
        },
    )


def _plain(value: object) -> Hashable:
    match value:
        case Mapping():
            return tuple(sorted(value.items()))
        case tuple():
            return tuple(map(_unowned, value))
    assert isinstance(value, Hashable)
    return value


def _unowned(each: Hashable) -> Hashable:
    return replace(each, uid=-1) if isinstance(each, Tmpfs) and each.uid is not None else each
