"""Containers on the daemon that carry our labels: listing them, and removing what nobody owns."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sandbox_runner import hardening
from sandbox_runner.engines.docker.removal import ensure_removed, state_of
from sandbox_runner.engines.live_runs import LiveRun, is_orphaned, live_run

if TYPE_CHECKING:
    from docker import APIClient

PATIENCE = 0.2  # seconds for a container whose owner died to see it and end


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
    return remove_runs(client, filter(is_orphaned, list_runs(client)))


def _is_ghost(client: "APIClient", entry: dict[str, object]) -> bool:
    """Whether the daemon lists a container that it does not have: see `removal`."""
    return entry.get("State") in ("removing", "dead") and state_of(client, str(entry["Id"])) is None


def _run(entry: dict[str, object]) -> LiveRun:
    labels = entry.get("Labels")
    assert isinstance(labels, dict)
    return live_run(
        labels,
        container_id=str(entry["Id"]),
        state=str(entry.get("State", "")),
        image=str(entry.get("Image", "")),
    )
