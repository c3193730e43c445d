"""What the runner allots to a container: its name, its owner, and a user id of its own."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sandbox_runner.owner import current_owner
from sandbox_runner.spec import Placement
from sandbox_runner.user_ids import leased_user_id


class Placements:
    """Placements for the containers of one runner, labelled with ``instance``."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self._owner = current_owner()

    @contextmanager
    def lease(self, run_id: str | None = None) -> Iterator[Placement]:
        """One whose user id is nobody else's until the context ends. Raises Busy where none is free."""
        with leased_user_id() as uid:
            yield Placement(
                run_id=run_id or secrets.token_hex(8),
                instance=self.instance,
                owner=self._owner,
                uid=uid,
                created=int(time.time()),
            )
