"""User ids for containers: one that no other live container of this machine has.

Kernel limits such as inotify instances and pipe pages are counted per user id, so two
containers that share one could starve each other. A lease is an abstract Unix socket named
after the id: the kernel lets one process hold it and frees it when that process ends.
"""

import random
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sandbox_runner.errors import Busy

# Within the 65536 ids that an engine with user namespaces maps, and above any account of a distribution.
FIRST, LAST = 20000, 59999
_TRIES = 100


@contextmanager
def leased_user_id() -> Iterator[int]:
    """A user id that is this process's until the context ends. Raises Busy where none is free."""
    if sys.platform != "linux":
        yield random.SystemRandom().randint(FIRST, LAST)
        return
    for _ in range(_TRIES):
        uid = random.SystemRandom().randint(FIRST, LAST)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lease:
            try:
                lease.bind(f"\0sandbox-runner-uid-{uid}")
            except OSError:
                continue
            yield uid
            return
    raise Busy("No free user id was found for the container; try again.", retry_after=1.0)
