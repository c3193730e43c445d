"""What setup added to this machine, kept in a small file so that uninstall undoes exactly that."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sandbox_runner.errors import SandboxError

_NAME = "setup.json"


@dataclass(frozen=True, slots=True)
class Daemon:
    """A dockerd that setup started by itself. ``created`` is its start in Unix seconds."""

    pid: int
    created: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupState:
    """``packages`` that setup installed, the ``daemon`` or systemd ``service`` it started, and the
    images it ``pulled``."""

    packages: tuple[str, ...] = ()
    daemon: Daemon | None = None
    service: bool = False
    pulled: tuple[str, ...] = ()


def load_state(folder: Path) -> SetupState:
    """What is recorded in ``folder``; nothing where there is no record.

    Raises SandboxError where the record cannot be read.
    """
    path = folder / _NAME
    try:
        values = json.loads(path.read_text("utf-8"))
        return _state(values)
    except FileNotFoundError:
        return SetupState()
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SandboxError(
            f"{path} cannot be read ({error}); correct or remove it, then try again."
        ) from None


def _state(values: Mapping[str, Any]) -> SetupState:
    daemon = values["daemon"]
    return SetupState(
        packages=tuple(map(str, values["packages"])),
        daemon=Daemon(int(daemon["pid"]), float(daemon["created"])) if daemon else None,
        service=bool(values["service"]),
        pulled=tuple(map(str, values["pulled"])),
    )


def save_state(folder: Path, state: SetupState) -> None:
    """Records ``state``, or removes the record, and the folder with it, where nothing is left to undo."""
    path = folder / _NAME
    if state == SetupState():
        path.unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        return
    folder.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(asdict(state), indent=2) + "\n", "utf-8")
    new.replace(path)
