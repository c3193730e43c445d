"""The folder of each live container: its bundle, and the runtime's own state.

/run/sandbox-runner/bundles/<instance>/<name>/  config.json, pid
/run/sandbox-runner/<runtime>/<name>/           the runtime's; files of its own naming for runsc
"""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from sandbox_runner.engines import gvisor
from sandbox_runner.engines.oci.runtime import KNOWN

RUN_FOLDER = Path("/run/sandbox-runner")
_BUNDLES = RUN_FOLDER / "bundles"
_TRIES = 3
_HALF_MADE_TIME = 60  # seconds after which a folder without a config is taken for left behind


@dataclass(frozen=True, slots=True)
class Bundle:
    """The folder of one container. ``instance`` is the runner's that owns it."""

    instance: str
    name: str

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return _BUNDLES / self.instance / self.name

    @property
    def pid_file(self) -> Path:
        """Where the runtime writes the id of PID 1, as the host has it."""
        return self.folder / "pid"

    @property
    def log_file(self) -> Path:
        """Where the runtime writes what went wrong, where its stderr is the program's."""
        return self.folder / "log"

    def write(self, config: str) -> None:
        """Makes the folder, with ``config`` as its config.json; nobody but root can read it."""
        for _ in range(_TRIES):
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # `forget_empty` of another process was between the two
                self.folder.mkdir(mode=0o700)
                break
        (self.folder / "config.json").write_text(config, "utf-8")

    def config(self) -> dict[str, Any] | None:
        """What it was made of; None where it is gone, or its owner was killed while writing it."""
        try:
            return dict(json.loads((self.folder / "config.json").read_bytes()))
        except (OSError, ValueError):
            return None

    def pid(self) -> int | None:
        """The id of PID 1; None where the runtime wrote none."""
        try:
            return int(self.pid_file.read_text())
        except (OSError, ValueError):
            return None

    def sentry_state(self) -> tuple[Path, Path]:
        """Where runsc writes what it knows of the container, and that file's lock."""
        start = f"{self.name}_sandbox:{self.name}"
        root = runtime_root(gvisor.NAME)
        return root / f"{start}.state", root / f"{start}.lock"

    def remove(self) -> None:
        """Removes all folders of the container. Harmless to repeat."""
        for runtime in KNOWN:
            shutil.rmtree(runtime_root(runtime) / self.name, ignore_errors=True)
        for file in (*self.sentry_state(), runtime_root(gvisor.NAME) / f"runsc-{self.name}.sock"):
            file.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def is_abandoned(self) -> bool:
        """Whether it has no config and is too old to be about to get one."""
        try:
            age = time.time() - self.folder.stat().st_mtime
        except OSError:
            return False
        return age > _HALF_MADE_TIME and self.config() is None


def find_bundles(*, instance: str | None = None) -> Iterator[Bundle]:
    """All, or those of one instance."""
    # Path.glob of Python 3.11 raises where a folder goes away meanwhile.
    for found in glob(f"{instance or '*'}/*", root_dir=_BUNDLES):  # noqa: PTH207 - see above
        yield Bundle(*Path(found).parts)


def forget_instance(instance: str) -> None:
    """Removes the folder of a runner whose containers are all gone."""
    with suppress(OSError):
        (_BUNDLES / instance).rmdir()


def forget_empty() -> None:
    """Removes the folders of runners that have had no container for some time, or were killed."""
    for found in _BUNDLES.glob("*"):
        with suppress(OSError):  # it is not empty, or gone
            if time.time() - found.stat().st_mtime > _HALF_MADE_TIME:
                found.rmdir()


def runtime_root(runtime: str) -> Path:
    """The folder that a runtime keeps its state in."""
    return RUN_FOLDER / runtime
