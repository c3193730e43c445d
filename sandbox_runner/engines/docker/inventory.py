"""Containers on the daemon that carry our labels: listing them, and removing what nobody owns."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_runner import hardening
from sandbox_runner.engines.docker.removal import ensure_removed, state_of
from sandbox_runner.owner import is_alive

if TYPE_CHECKING:
    from docker import APIClient

PATIENCE = 0.2  # seconds for a container whose owner died to see it and end


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """A container of ours as the daemon lists it. ``created`` and ``deadline`` are Unix seconds."""

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


def list_runs(client: "APIClient", *, instance: str | None = None) -> list[LiveRun]:
    """All our containers in any state, or those of one instance; told by label only."""
    labels = [f"{hardening.LABEL_MANAGED}=1"]
    if instance is not None:
        labels.append(f"{hardening.LABEL_INSTANCE}={instance}")
    entries = client.containers(all=True, filters={"label": labels})
    return [_run(entry) for entry in entries if not _is_ghost(client, entry)]


def remove_runs(client: "APIClient", runs: Iterable[LiveRun]) -> list[LiveRun]:
    """Kills and removes; returns those that are gone now."""
    return [run for run in runs if ensure_removed(client, run.container_id, patience=PATIENCE)]


def reap(client: "APIClient") -> list[LiveRun]:
    """Removes the containers whose owner on this machine is dead, or whose lease has run out."""
    now = time.time()
    return remove_runs(client, [run for run in list_runs(client) if _orphaned(run, now)])


def _orphaned(run: LiveRun, now: float) -> bool:
    return now > run.deadline or is_alive(run.owner) is False


def _is_ghost(client: "APIClient", entry: dict[str, object]) -> bool:
    """Whether the daemon lists a container that it does not have: see `removal`."""
    return entry.get("State") in ("removing", "dead") and state_of(client, str(entry["Id"])) is None


def _run(entry: dict[str, object]) -> LiveRun:
    labels = entry.get("Labels")
    assert isinstance(labels, dict)
    return LiveRun(
        container_id=str(entry["Id"]),
        run_id=labels.get(hardening.LABEL_RUN, ""),
        instance=labels.get(hardening.LABEL_INSTANCE, ""),
        owner=labels.get(hardening.LABEL_OWNER, ""),
        principal=labels.get(hardening.LABEL_PRINCIPAL, ""),
        language=labels.get(hardening.LABEL_LANGUAGE, ""),
        state=str(entry.get("State", "")),
        created=_seconds(labels.get(hardening.LABEL_CREATED)),
        deadline=_seconds(labels.get(hardening.LABEL_DEADLINE)),
        image=str(entry.get("Image", "")),
    )


def _seconds(text: object) -> int:
    return int(text) if isinstance(text, str) and text.isdigit() and len(text) < 16 else 0
