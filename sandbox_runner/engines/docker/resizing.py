"""Another memory limit for a container that runs no job: a call that blocks."""

import re
from typing import TYPE_CHECKING

from docker import errors as docker_errors

from sandbox_runner.engines import TOO_MUCH_LEFT
from sandbox_runner.engines.docker.faults import repeatable
from sandbox_runner.errors import ControlNotEnforced, InvalidRequest

if TYPE_CHECKING:
    from docker import APIClient

# A limit below what cannot be freed: the kernel's own words, and runc's.
_IN_USE = re.compile(r"device or resource busy|unable to set memory limit .*current usage", re.IGNORECASE)


def set_memory(client: "APIClient", container_id: str, memory: int) -> None:
    """Limits the container to ``memory`` bytes, without swap.

    Raises InvalidRequest where it holds more, ControlNotEnforced where the daemon says another limit after
    it, and what the SDK raises.
    """
    try:
        repeatable(client.update_container)(container_id, mem_limit=memory, memswap_limit=memory)
    except docker_errors.APIError as error:
        if _IN_USE.search(str(error.explanation)):
            raise InvalidRequest(TOO_MUCH_LEFT) from None
        raise
    held = repeatable(client.inspect_container)(container_id)["HostConfig"]
    if (held["Memory"], held["MemorySwap"]) != (memory, memory):
        raise ControlNotEnforced("The engine does not change a container's memory, so nothing was run.")
