"""Making sure that a container is gone.

Every container of ours removes itself when it ends (AutoRemove). Removing it at the same moment
from outside is worse than no help: Docker 20.10 may then list it for ever as being removed. So one
that runs is killed at most, and removed from outside only where it never started or does not go.
"""

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import requests.exceptions
from docker import errors as docker_errors

from sandbox_runner.engines.docker.faults import repeatable

if TYPE_CHECKING:
    from docker import APIClient

SELF_REMOVAL_TIME = 3.0  # seconds for a container that has ended to remove itself
GIVE_UP_TIME = 30.0  # seconds after which it is left to the watchdog and to `reap`
HURRY = 0.002  # seconds between two looks; each costs a millisecond of CPU
CALM = 0.015  # the same where nobody waits for it


def ensure_removed(
    client: "APIClient", container: str, *, patience: float, pause: float = HURRY, started: bool = False
) -> bool:
    """Returns when ``container`` is gone; whether it is. Blocks: call it in a thread.

    One that runs has ``patience`` seconds to end by itself before it is killed; one known to be ``started``
    is not looked at before. ``pause`` is between two looks where the daemon does not tell when it is gone.
    """
    began = time.monotonic()
    if started:
        _await_removal(client, container, patience)
    killed = False
    looks = 0
    while (state := state_of(client, container)) is not None:
        waited = time.monotonic() - began
        if waited > GIVE_UP_TIME:
            return False
        # 404 and 409: it is gone, or about to go.
        with suppress(docker_errors.APIError):
            if state == "created" or waited > SELF_REMOVAL_TIME:
                client.remove_container(container, force=True, v=True)
            elif waited >= patience and not killed:
                killed = True
                client.kill(container)
        if looks:
            time.sleep(pause)
        looks += 1
        _await_removal(client, container, (SELF_REMOVAL_TIME if killed else patience) - waited)
    return True


def _await_removal(client: "APIClient", container: str, seconds: float) -> None:
    """Returns when the daemon has removed ``container``, or after ``seconds``, or where it cannot tell."""
    if seconds > 0:
        # A timeout, a fault, or it is gone already: whoever calls looks.
        with suppress(docker_errors.APIError, requests.exceptions.RequestException):
            client.wait(container, timeout=seconds, condition="removed")  # type: ignore[arg-type] # it takes parts, too


@repeatable
def state_of(client: "APIClient", container: str) -> str | None:
    """The daemon's word for the container's state; None where there is no such container."""
    try:
        return str(client.inspect_container(container)["State"]["Status"])
    except docker_errors.NotFound:
        return None
