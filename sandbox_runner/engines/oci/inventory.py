"""Containers of the embedded engine: listing them, and removing what nobody owns."""

from collections.abc import Iterable
from typing import Any

from sandbox_runner.engines.live_runs import LiveRun, is_orphaned, live_run
from sandbox_runner.engines.oci.bundles import Bundle, find_bundles, forget_empty, forget_instance
from sandbox_runner.engines.oci.cgroups import SLICE, find_hierarchies, processes, remove_cgroups


def list_runs(*, instance: str | None = None) -> list[LiveRun]:
    """All our containers, or those of one instance."""
    runs = []
    for bundle in find_bundles(instance=instance):
        config = bundle.config()
        if config is not None:
            runs.append(_run(bundle, config))
    return runs


def remove_runs(runs: Iterable[LiveRun]) -> list[LiveRun]:
    """Kills and removes; returns those that are gone now. Blocks."""
    return [run for run in runs if remove(Bundle(run.instance, run.container_id))]


def remove_instance(instance: str, seen: set[Bundle]) -> None:
    """Kills and removes all that the runner ``instance`` made, also what it was about to make. Blocks.

    Adds to ``seen``, and removes what is in it once more: a runtime that was still starting a container can
    have written its state after that was removed.
    """
    seen.update(find_bundles(instance=instance))
    for bundle in seen:
        remove(bundle)
    forget_instance(instance)


def reap() -> list[LiveRun]:
    """Removes the containers whose owner on this machine is dead, or whose lease has run out."""
    for bundle in find_bundles():
        if bundle.is_abandoned():
            remove(bundle)
            forget_instance(bundle.instance)
    removed = remove_runs(filter(is_orphaned, list_runs()))
    for run in removed:
        forget_instance(run.instance)
    forget_empty()
    return removed


def remove(bundle: Bundle, path: str | None = None) -> bool:
    """Kills the container and removes all of it; whether it is gone. Harmless to repeat. Blocks.

    ``path`` is that of its cgroups; its config tells where it is not known.
    """
    if path is None:
        config = bundle.config()
        path = f"{SLICE}/{bundle.name}" if config is None else _path(config)
    gone = remove_cgroups(find_hierarchies(), path)
    if gone:
        bundle.remove()
    return gone


def _run(bundle: Bundle, config: dict[str, Any]) -> LiveRun:
    return live_run(
        config["annotations"],
        container_id=bundle.name,
        state="running" if processes(find_hierarchies(), _path(config)) else "created",
        image=config["root"]["path"],
    )


def _path(config: dict[str, Any]) -> str:
    return str(config["linux"]["cgroupsPath"]).strip("/")
