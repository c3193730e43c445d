"""The OCI runtimes that a daemon has, as it tells them, and whether one may be used."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from sandbox_runner.engines import gvisor
from sandbox_runner.engines.docker.faults import repeatable
from sandbox_runner.errors import ControlNotEnforced

if TYPE_CHECKING:
    from docker import APIClient

# Those that make containers of the kernel's own means; the third is runc with a hook for graphics cards.
_OF_THE_KERNEL = frozenset({"runc", "crun", "nvidia-container-runtime", "containerd-shim-runc-v2"})


@dataclass(frozen=True, slots=True)
class Registered:
    """A runtime of a daemon: its name there, what it is, and whether it runs programs under gVisor."""

    name: str
    program: str
    has_sentry: bool


class Runtimes:
    """What one daemon tells of its runtimes; asked once."""

    def __init__(self, client: "APIClient") -> None:
        self._client = client
        self._info: Mapping[str, Any] | None = None
        self._lock = Lock()

    def ask_ahead(self) -> None:
        """Has the daemon asked while this thread does something else."""
        if self._info is None:
            Thread(target=self._try_ask, name="runtimes", daemon=True).start()

    def find(self, wanted: str | None) -> Registered:
        """The runtime called ``wanted``, or the daemon's default. Blocks.

        Raises ControlNotEnforced where it is not known what it enforces, or known that it is too little; and
        what the SDK raises.
        """
        return read_runtime(self._ask(), wanted)

    def _ask(self) -> Mapping[str, Any]:
        with self._lock:
            if self._info is None:
                self._info = repeatable(self._client.info)()
            return self._info

    def _try_ask(self) -> None:
        with suppress(Exception):  # `find` asks again, and raises it
            self._ask()


def read_runtime(info: Mapping[str, Any], wanted: str | None) -> Registered:
    """As `Runtimes.find`, from the daemon's answer to /info. Pure."""
    name = wanted or str(info.get("DefaultRuntime") or "")
    entry = (info.get("Runtimes") or {}).get(name)
    if not isinstance(entry, Mapping):
        raise ControlNotEnforced(
            f"The engine does not know the oci_runtime {name!r}; register it there or change oci_runtime."
        )
    path = str(entry.get("path") or entry.get("runtimeType") or "")
    program = PurePath(path).name
    if gvisor.is_gvisor(path):
        if wanted is None:
            raise ControlNotEnforced(
                "The engine's default runtime is runsc, which takes other settings than the rest, so nothing "
                f"was run; set oci_runtime to {name}, or to runc."
            )
        gvisor.require_flags(gvisor.parse_flags(entry.get("runtimeArgs") or ()))
    elif program not in _OF_THE_KERNEL:
        raise ControlNotEnforced(
            f"It is not known what the engine's runtime {name!r} ({path or 'no path'}) enforces, so nothing "
            "was run; set oci_runtime to one that is runc, crun or runsc."
        )
    return Registered(name, program, has_sentry=gvisor.is_gvisor(path))
