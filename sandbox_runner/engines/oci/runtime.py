"""The program that makes containers: crun, runc or runsc, and how each is called."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sandbox_runner.engines import gvisor
from sandbox_runner.errors import ControlNotEnforced, EngineUnavailable

# In order of preference: crun starts a container in half the time of runc, and in a tenth of that of runsc.
KNOWN = ("crun", "runc", gvisor.NAME)
_PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_F_ADD_SEALS = 1033  # linux/fcntl.h
_ALL_SEALS = 0xF  # against sealing, shrinking, growing and writing
_TIME = 10  # seconds for a runtime to tell what it knows
_UNIFIED = Path("/sys/fs/cgroup/unified")


@dataclass(frozen=True, slots=True)
class Runtime:
    """An installed runtime. ``joins``: it leaves cgroups alone, so it is started inside those we made.

    ``flags`` stand before its command.
    """

    name: str
    path: str
    joins: bool
    flags: tuple[str, ...] = ()

    @property
    def has_sentry(self) -> bool:
        """Whether it runs programs under a kernel of its own, which is what the host sees of them."""
        return self.name == gvisor.NAME

    @property
    def hides_unified(self) -> bool:
        """Whether it must not see the mount of cgroup version 2 beside version 1.

        crun before 1.9 refuses a machine where that one holds a controller, though nothing uses it.
        """
        if self.name != "crun":
            return False
        try:
            return bool((_UNIFIED / "cgroup.controllers").read_text().strip())
        except OSError:
            return False

    @property
    def makes_in_two_steps(self) -> bool:
        """Whether a created container's first process is the one that will execute the program."""
        return self.name in ("crun", "runc")

    @property
    def takes_filter(self) -> bool:
        """Whether it takes a seccomp filter that is compiled already."""
        return self.name == "crun"

    @property
    def limits_from_inside(self) -> bool:
        """Whether it sets a container's rlimits from inside, where that takes no capability out here."""
        return self.name == "crun"

    @property
    def wants_sealed_copy(self) -> bool:
        """Whether it is small, and starts itself again where it was not started from a sealed copy."""
        return self.name == "crun" and _memory_can_be_executed()

    def run(self, name: str, *, bundle: Path, root: Path, pid_file: Path) -> list[str]:
        """The command that starts the bundle's container, writes its process id, and ends."""
        made = ["--bundle", str(bundle), "--pid-file", str(pid_file)]
        return [*self._called(root), "run", "--detach", *made, name]

    def create(self, name: str, *, bundle: Path, root: Path, pid_file: Path, log: Path) -> list[str]:
        """The same, but the container's first process waits for `begin`; errors go into ``log``."""
        made = ["--bundle", str(bundle), "--pid-file", str(pid_file)]
        return [*self._called(root), "--log", str(log), "create", *made, name]

    def begin(self, name: str, *, root: Path, log: Path) -> list[str]:
        """The command that lets the first process of a created container execute its program."""
        return [*self._called(root), "--log", str(log), "start", name]

    def _called(self, root: Path) -> list[str]:
        manager = ["--cgroup-manager=disabled"] if self.joins else []
        return [self.path, "--root", str(root), *self.flags, *manager]


def _memory_can_be_executed() -> bool:
    try:
        return Path("/proc/sys/vm/memfd_noexec").read_text().strip() == "0"
    except OSError:
        return True  # a kernel before 6.3


@contextmanager
def program_of(runtime: Runtime) -> Iterator[str]:
    """What to execute for ``runtime``, for as long as the context lasts.

    A runtime must not be reachable for writing from inside a container (CVE-2019-5736). crun sees to it
    itself by starting twice, unless what it is started from is sealed memory.
    """
    if not runtime.wants_sealed_copy:
        yield runtime.path
        return
    descriptor = os.memfd_create("crun", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as copy:
            copy.write(Path(runtime.path).read_bytes())
        fcntl.fcntl(descriptor, _F_ADD_SEALS, _ALL_SEALS)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def find_runtime(wanted: str | None, *, unified: bool) -> Runtime:
    """The runtime called ``wanted``, or the first that is installed. ``unified``: only cgroup version 2.

    Raises EngineUnavailable where none is, ControlNotEnforced where ``wanted`` is none that is known.
    """
    if wanted is not None and wanted not in KNOWN:
        raise ControlNotEnforced(
            f"The engine oci does not know what {wanted!r} enforces, so nothing was run; "
            f"set oci_runtime to one of: {', '.join(KNOWN)}."
        )
    for name in (wanted,) if wanted else KNOWN:
        path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_PLACES}")
        if path is not None:
            flags = _sentry_flags(path) if name == gvisor.NAME else ()
            return Runtime(name, path, joins=name == "crun" and not unified, flags=flags)
    raise EngineUnavailable(
        f"{wanted or 'None of crun, runc and runsc'} is {'not ' if wanted else ''}installed on this machine; "
        "run as root: sandbox-runner setup --engine oci"
    )


def _sentry_flags(path: str) -> tuple[str, ...]:
    """No network, the filter, nothing written beside the root, and a sentry that opens no file itself.

    Where it opens files itself it is root of the machine, in a user namespace; else it is nobody.
    """
    flags = (*gvisor.NEEDED, "--overlay2=none")
    return (*flags, "--directfs=false") if "-directfs" in _known_flags(path) else flags


@cache
def _known_flags(path: str) -> str:
    told = subprocess.run([path, "flags"], capture_output=True, text=True, timeout=_TIME, check=False)
    return told.stdout + told.stderr
