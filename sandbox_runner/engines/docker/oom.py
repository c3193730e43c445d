"""Whether a container that has ended ran out of memory, by what its daemon says.

It removes itself as it ends, so it may be gone before it can be looked at, and a daemon may hear of the
kernel's kill only after the end. Its events tell in both cases: the newest of them are kept. What Docker
hears after the removal it drops: see `memory_watch` for that.
"""

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import requests.exceptions
from docker import errors as docker_errors

from sandbox_runner.engines.docker.faults import repeatable
from sandbox_runner.engines.docker.removal import SELF_REMOVAL_TIME
from sandbox_runner.engines.general_lane import KILLED

if TYPE_CHECKING:
    from docker import APIClient

_EVER = 1  # since when, in seconds: all events that the daemon still has


def ran_out_of_memory(client: "APIClient", container: str, *, await_news: bool = True) -> bool:
    """Whether the kernel killed in ``container`` for want of memory.

    Blocks, with ``await_news`` until the container is removed where it may be heard of until then.
    """
    state = _state(client, container)
    if state is not None and state.get("OOMKilled"):
        return True
    return await_news and _may_be_late(state) and _told(client, container)


def _may_be_late(state: dict[str, Any] | None) -> bool:
    return state is None or (not state.get("Running") and state.get("ExitCode") == KILLED)


@repeatable
def _state(client: "APIClient", container: str) -> dict[str, Any] | None:
    """None where there is no such container."""
    try:
        state: dict[str, Any] = client.inspect_container(container)["State"]
    except docker_errors.NotFound:
        return None
    return state


def _told(client: "APIClient", container: str) -> bool:
    """Whether the daemon tells of it before it tells of the removal, or of a signal that was asked for."""
    # A daemon that is silent, or one whose events are not for us, tells nothing.
    with suppress(requests.exceptions.RequestException):
        return _first_event(client, container, "oom", "kill", "destroy") == "oom"
    return False


def _first_event(client: "APIClient", container: str, *kinds: str) -> str | None:
    """Waits for it where it is none of the past; None where the daemon has no more."""
    sdk: Any = client  # the SDK's own `events` would wait for ever
    filters = json.dumps({"container": [container], "event": kinds})
    params = {"since": _EVER, "filters": filters}
    url = sdk._url("/events")
    with sdk._get(url, params=params, stream=True, timeout=SELF_REMOVAL_TIME) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            return str(json.loads(line)["Action"])
    return None
