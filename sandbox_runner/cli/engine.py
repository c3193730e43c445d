"""The engine's client for the commands that list and remove."""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox_runner.cli.parsing import settings
from sandbox_runner.config import load_config

if TYPE_CHECKING:
    from docker import APIClient

    from sandbox_runner.engines.docker.inventory import LiveRun


@contextmanager
def connected(arguments: Namespace) -> Iterator["APIClient"]:
    """A client of the configured engine. Raises ConfigError or EngineError, also for what fails within."""
    # The SDK takes 90 ms to load: only the commands that talk to the engine pay for it.
    from docker.errors import DockerException  # noqa: PLC0415
    from requests.exceptions import RequestException  # noqa: PLC0415

    from sandbox_runner.engines.docker.calls import mapped  # noqa: PLC0415
    from sandbox_runner.engines.docker.connection import connect  # noqa: PLC0415

    config = load_config(flags=settings(arguments)).config
    client = connect(config.docker_host)
    try:
        yield client
    except (DockerException, RequestException, OSError) as error:
        raise mapped(error, client.base_url) from error
    finally:
        client.close()


def live_runs(client: "APIClient") -> "list[LiveRun]":
    """The runs that are not being removed already, oldest first.

    Docker 20.10 may go on listing one as `removing` when it is gone for good.
    """
    from sandbox_runner.engines.docker.inventory import list_runs  # noqa: PLC0415 - loads the SDK

    runs = [run for run in list_runs(client) if run.state != "removing"]
    return sorted(runs, key=lambda run: run.created)
