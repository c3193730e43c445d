"""Where this package keeps what outlives a process."""

import os
from pathlib import Path

_ROOT = Path("/var/lib/sandbox-runner")


def state_folder() -> Path:
    """Where the state and the log of a started dockerd are: of this machine for root, else of this user."""
    if os.name == "posix" and os.geteuid() == 0:
        return _ROOT
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return home / "sandbox-runner"
