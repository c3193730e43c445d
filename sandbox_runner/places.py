"""Where this package keeps what outlives a process, and where people keep what they tell it."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

SYSTEM_CONFIG = Path("/etc/sandbox-runner")
_ROOT = Path("/var/lib/sandbox-runner")


def state_folder() -> Path:
    """Where the state and the log of a started dockerd are: of this machine for root, else of this user."""
    if os.name == "posix" and os.geteuid() == 0:
        return _ROOT
    return _chosen_folder() or Path.home() / ".local" / "state" / "sandbox-runner"


def session_folder() -> Path:
    """Where sessions keep what outlives them: below ``$XDG_STATE_HOME`` for root, too, where that is set."""
    return _chosen_folder() or state_folder()


def snapshot_folder() -> Path:
    """Where the snapshots of sessions are."""
    return session_folder() / "snapshots"


def _chosen_folder() -> Path | None:
    home = Path(os.environ.get("XDG_STATE_HOME", ""))
    return home / "sandbox-runner" if home.is_absolute() else None  # as the XDG specification has it


def config_folder(environ: Mapping[str, str]) -> Path | None:
    """The user's own; None where the environment names no home.

    ``$XDG_CONFIG_HOME/sandbox-runner``, by default below ``~/.config``, on Windows below ``%APPDATA%``.
    """
    folder = Path(environ.get("APPDATA" if sys.platform == "win32" else "XDG_CONFIG_HOME", ""))
    if not folder.is_absolute():  # the XDG specification has a relative path ignored
        if not environ.get("HOME"):
            return None
        folder = Path(environ["HOME"], ".config")
    return folder / "sandbox-runner"
