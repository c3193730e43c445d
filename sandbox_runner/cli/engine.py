"""The live runs of the configured engine, for the commands that list and remove."""

import os
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sandbox_runner.cli.parsing import settings
from sandbox_runner.config import Config, load_config
from sandbox_runner.engines.choice import names_docker
from sandbox_runner.errors import EngineUnavailable

if TYPE_CHECKING:
    from docker import APIClient

    from sandbox_runner.engines.live_runs import LiveRun


@dataclass(frozen=True, slots=True)
class Inventory:
    """What one engine lists and removes; what it removed is returned."""

    list_runs: "Callable[[], list[LiveRun]]"
    remove_runs: "Callable[[Iterable[LiveRun]], list[LiveRun]]"
    reap: "Callable[[], list[LiveRun]]"


@contextmanager
def inventories(arguments: Namespace) -> Iterator[list[Inventory]]:
    """Those of the configured engine; with ``auto`` those of each that is there.

    Raises ConfigError or EngineError, also for what fails within.
    """
    config = load_config(flags=settings(arguments)).config
    embedded = [_embedded()] if config.engine != "docker" and _has_embedded(config) else []
    if config.engine == "oci":
        yield embedded
        return
    try:
        client = _connected(config)
    except EngineUnavailable:
        if not embedded or names_docker(config.docker_host):
            raise
        yield embedded
        return
    with _mapping(client):
        yield [_docker(client), *embedded]


@contextmanager
def connected(arguments: Namespace) -> "Iterator[APIClient]":
    """A client of the Docker engine. Raises ConfigError or EngineError, also for what fails within."""
    client = _connected(load_config(flags=settings(arguments)).config)
    with _mapping(client):
        yield client


def _has_embedded(config: Config) -> bool:
    if config.engine == "oci":
        from sandbox_runner.engines.oci.engine import require_usable  # noqa: PLC0415 - see _embedded

        require_usable()
        return True
    from sandbox_runner.engines.oci.bundles import RUN_FOLDER  # noqa: PLC0415 - see _embedded

    return os.name == "posix" and os.geteuid() == 0 and RUN_FOLDER.is_dir()


def _embedded() -> Inventory:
    from sandbox_runner.engines.oci import inventory  # noqa: PLC0415 - only the commands that need it

    return Inventory(inventory.list_runs, inventory.remove_runs, inventory.reap)


def _connected(config: Config) -> "APIClient":
    # The SDK takes 90 ms to load: only the commands that talk to the engine pay for it.
    from sandbox_runner.engines.docker.connection import connect  # noqa: PLC0415

    return connect(config.docker_host)


def _docker(client: "APIClient") -> Inventory:
    from sandbox_runner.engines.docker import inventory  # noqa: PLC0415 - as above

    return Inventory(
        partial(inventory.list_runs, client),
        partial(inventory.remove_runs, client),
        partial(inventory.reap, client),
    )


@contextmanager
def _mapping(client: "APIClient") -> Iterator[None]:
    from sandbox_runner.engines.docker.faults import engine_errors  # noqa: PLC0415 - as above

    with closing(client), engine_errors(client.base_url):
        yield


def live_runs(engines: Iterable[Inventory]) -> "list[LiveRun]":
    """The runs, oldest first."""
    return sorted((run for engine in engines for run in engine.list_runs()), key=lambda run: run.created)
