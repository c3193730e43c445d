"""A container of ours as an engine lists it, told by its labels."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox_runner import hardening
from sandbox_runner.owner import is_alive


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """A container of ours. ``created`` and ``deadline`` are Unix seconds.

    One that was started ``ahead`` of its run has an id of its own and knows no principal; labels cannot be
    changed, so it is not seen whether it still waits. One that ``installs`` makes packages ready.
    """

    container_id: str
    run_id: str
    instance: str
    owner: str
    principal: str
    language: str
    state: str
    created: int
    deadline: int
    image: str
    ahead: bool
    installs: bool


def live_run(labels: Mapping[str, str], *, container_id: str, state: str, image: str) -> LiveRun:
    """The container that carries ``labels``."""
    return LiveRun(
        container_id=container_id,
        run_id=labels.get(hardening.LABEL_RUN, ""),
        instance=labels.get(hardening.LABEL_INSTANCE, ""),
        owner=labels.get(hardening.LABEL_OWNER, ""),
        principal=labels.get(hardening.LABEL_PRINCIPAL, ""),
        language=labels.get(hardening.LABEL_LANGUAGE, ""),
        state=state,
        created=_seconds(labels.get(hardening.LABEL_CREATED)),
        deadline=_seconds(labels.get(hardening.LABEL_DEADLINE)),
        image=image,
        ahead=hardening.LABEL_AHEAD in labels,
        installs=hardening.LABEL_INSTALLS in labels,
    )


def is_orphaned(run: LiveRun) -> bool:
    """Whether its owner on this machine is dead, or its lease has run out."""
    return time.time() > run.deadline or is_alive(run.owner) is False


def _seconds(text: object) -> int:
    return int(text) if isinstance(text, str) and text.isdigit() and len(text) < 16 else 0
