"""The cgroups of containers, made and limited by us: version 1, also beside an unused version 2.

https://docs.kernel.org/admin-guide/cgroup-v1/. On version 2 alone the runtime makes them from the
bundle's config: a process can be started in one only by a call that Python does not have.
Every container's cgroup is in one slice, whose limits hold for all of them together.
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sandbox_runner.engines import TOO_MUCH_LEFT
from sandbox_runner.engines.oci.mapping import CPU_PERIOD, resources
from sandbox_runner.errors import ControlNotEnforced, InvalidRequest
from sandbox_runner.spec import ContainerSpec, ResolvedLimits

SLICE = "sandbox-runner"
RESIZABLE = ("memory", "cpus", "pids")  # limits
COUNTERS = ("memory", "cpu", "cpuacct", "pids")  # what a container sees of its own
_NEEDED = (*COUNTERS, "devices")
_SLICE_MEMORY = 0.9  # of the machine's memory, for all containers together
_SLICE_PIDS = 0.5  # of the process ids that the kernel has
_MOUNTS = Path("/proc/self/mountinfo")
_UNIFIED = Path("/sys/fs/cgroup")
_GONE_TIME = 2.0  # seconds for killed processes to leave a cgroup
_PAUSE = 0.002
_MUCH = 4096  # bytes, more than any of the files has


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """``by_controller``: the mount of each version 1 controller; none on a version 2 machine.

    ``beside``: the mounts of version 2, which beside version 1 limit nothing.
    """

    by_controller: dict[str, Path]
    beside: tuple[Path, ...]

    @property
    def unified(self) -> bool:
        """Whether there is version 2 only."""
        return not self.by_controller

    @property
    def folders(self) -> tuple[Path, ...]:
        """Each mounted hierarchy once: controllers may share one."""
        return tuple(dict.fromkeys((*self.by_controller.values(), *self.beside)))

    @property
    def needed(self) -> tuple[str, ...]:
        """The controllers that must hold every container."""
        return _NEEDED

    def joined(self) -> tuple[Path, ...]:
        """The hierarchies that a container is put into by us."""
        return tuple(dict.fromkeys(self.by_controller[name] for name in _NEEDED))


@cache
def find_hierarchies() -> Hierarchies:
    """What this machine has. Raises ControlNotEnforced where a controller is missing that limits need."""
    found: dict[str, Path] = {}
    beside: list[Path] = []
    for line in _MOUNTS.read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split()[:3]
        folder = Path(fields.split()[4])
        if kind == "cgroup2":
            beside.append(folder)
        elif kind == "cgroup":
            for option in options.split(","):
                found.setdefault(option, folder)
    if _UNIFIED in beside:
        return Hierarchies({}, (_UNIFIED,))
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise ControlNotEnforced(
            f"This machine has no cgroup controller for {', '.join(missing)}, so nothing was run; "
            "mount it, or use the engine docker."
        )
    return Hierarchies(found, tuple(beside))


def cgroup_path(spec: ContainerSpec) -> str:
    """The path of the container's cgroup, relative to each hierarchy."""
    return f"{(spec.cgroup_parent or SLICE).strip('/')}/{spec.name}"


def make_slice(hierarchies: Hierarchies, parent: str) -> None:
    """The cgroup above all containers, its limits written. Raises ControlNotEnforced."""
    memory = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * _SLICE_MEMORY)
    pids = int(int(Path("/proc/sys/kernel/pid_max").read_text()) * _SLICE_PIDS)
    if hierarchies.unified:
        folder = _UNIFIED / parent
        _write("memory, cpu and pids", _UNIFIED / "cgroup.subtree_control", "+memory +cpu +pids")
        _make("memory", folder)
        _write("memory, cpu and pids", folder / "cgroup.subtree_control", "+memory +cpu +pids")
        _write("memory", folder / "memory.max", memory)
        _write("pids", folder / "pids.max", pids)
        return
    for controller in _NEEDED:
        _make(controller, hierarchies.by_controller[controller] / parent)
    by_controller = hierarchies.by_controller
    _write("memory", by_controller["memory"] / parent / "memory.limit_in_bytes", memory)
    _write("pids", by_controller["pids"] / parent / "pids.max", pids)


def make_cgroups(hierarchies: Hierarchies, path: str, spec: ContainerSpec) -> None:
    """The container's cgroups with its limits; nothing on version 2.

    Raises ControlNotEnforced, naming the limit that cannot be set.
    """
    if hierarchies.unified:
        return
    for controller in _NEEDED:
        _make(controller, f"{hierarchies.by_controller[controller]}/{path}")
    for control, controller, file, value in _limits(spec):
        _write(control, f"{hierarchies.by_controller[controller]}/{path}/{file}", value)


def resize(hierarchies: Hierarchies, path: str, limits: ResolvedLimits) -> None:
    """Gives a container other limits of memory, cpus and pids.

    Raises InvalidRequest where it holds more memory, ControlNotEnforced, naming a limit, for all else.
    """
    try:
        _write_limits(hierarchies, path, limits)
    except ControlNotEnforced as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EBUSY:
            raise InvalidRequest(TOO_MUCH_LEFT) from None
        raise


def _write_limits(hierarchies: Hierarchies, path: str, limits: ResolvedLimits) -> None:
    if hierarchies.unified:
        folder = _UNIFIED / path
        _write("memory", folder / "memory.max", _whole_pages(limits.memory))
        _write("pids", folder / "pids.max", limits.pids)
        _write("cpus", folder / "cpu.max", f"{round(limits.cpus * CPU_PERIOD)} {CPU_PERIOD}")
        return
    written = list(_resizable(limits))
    memory = hierarchies.by_controller["memory"] / path / "memory.limit_in_bytes"
    if int(memory.read_text()) < limits.memory:
        written[:2] = written[1::-1]  # memory with swap is never below memory
    for control, controller, file, value in written:
        _write(control, hierarchies.by_controller[controller] / path / file, value)


def _limits(spec: ContainerSpec) -> Iterator[tuple[str, str, str, str | int]]:
    yield from _resizable(spec.limits)
    for rule in resources(spec)["devices"]:
        file = "devices.allow" if rule["allow"] else "devices.deny"
        numbers = f"{rule.get('major', '*')}:{rule.get('minor', '*')}"
        yield "devices", "devices", file, f"{rule.get('type', 'a')} {numbers} {rule['access']}"


def _resizable(limits: ResolvedLimits) -> Iterator[tuple[str, str, str, str | int]]:
    yield "memory", "memory", "memory.limit_in_bytes", _whole_pages(limits.memory)
    yield "swap", "memory", "memory.memsw.limit_in_bytes", _whole_pages(limits.memory)
    yield "pids", "pids", "pids.max", limits.pids
    yield "cpus", "cpu", "cpu.cfs_period_us", CPU_PERIOD
    yield "cpus", "cpu", "cpu.cfs_quota_us", round(limits.cpus * CPU_PERIOD)


def require_limits(hierarchies: Hierarchies, path: str, spec: ContainerSpec) -> None:
    """Raises ControlNotEnforced, naming it, where a limit is not what it has to be.

    On version 2 the runtime has set them, and on version 1 one that makes its own may have changed ours.
    """
    for control, file, wanted in _limit_files(hierarchies, path, spec):
        try:
            found = _read(file).split()
        except OSError as error:
            raise _not_enforced(control, error) from error
        if found != str(wanted).encode().split():
            raise ControlNotEnforced(
                f"The runtime did not set the limit of {control} ({file} is {b' '.join(found).decode()}), "
                "so nothing was run; use another oci_runtime."
            )


def _limit_files(
    hierarchies: Hierarchies, path: str, spec: ContainerSpec
) -> Iterator[tuple[str, str, str | int]]:
    limits = spec.limits
    if not hierarchies.unified:
        for control, controller, name, value in _resizable(limits):  # rules of devices read back otherwise
            yield control, f"{hierarchies.by_controller[controller]}/{path}/{name}", value
        return
    folder = f"{_UNIFIED}/{path}"
    yield "memory", f"{folder}/memory.max", _whole_pages(limits.memory)
    yield "swap", f"{folder}/memory.swap.max", 0
    yield "pids", f"{folder}/pids.max", limits.pids
    yield "cpus", f"{folder}/cpu.max", f"{round(limits.cpus * CPU_PERIOD)} {CPU_PERIOD}"


def _whole_pages(size: int) -> int:
    """As the kernel rounds it."""
    page = os.sysconf("SC_PAGE_SIZE")
    return size // page * page


def counters(hierarchies: Hierarchies, path: str) -> dict[str, Path]:
    """The folders that a container is shown; none on version 2, where the runtime mounts them."""
    if hierarchies.unified:
        return {}
    return {name: hierarchies.by_controller[name] / path for name in COUNTERS}


def enter(hierarchies: Hierarchies, path: str) -> None:
    """Puts the calling thread, and so what it starts, into the cgroups at ``path``."""
    # "0", the thread itself, spares the kernel the lock that moving a process takes.
    for folder in hierarchies.joined():
        _put(f"{folder}/{path}/tasks", b"0")


def oom_kills(hierarchies: Hierarchies, path: str) -> int:
    """Processes that the kernel killed there for want of memory; 0 where that cannot be read."""
    folder, name = _UNIFIED, "memory.events"
    if not hierarchies.unified:
        folder, name = hierarchies.by_controller["memory"], "memory.oom_control"
    with suppress(OSError, ValueError, IndexError):
        words = _read(f"{folder}/{path}/{name}").split()
        return int(words[words.index(b"oom_kill") + 1])
    return 0


def cpu_time(hierarchies: Hierarchies, path: str) -> float | None:
    """Seconds of CPU time of all that ever ran in the cgroup at ``path``; None where that cannot be read."""
    with suppress(OSError, ValueError, IndexError):
        if not hierarchies.unified:
            used = hierarchies.by_controller["cpuacct"] / path / "cpuacct.usage"
            return int(used.read_text()) / 1e9
        words = (_UNIFIED / path / "cpu.stat").read_text().split()
        return int(words[words.index("usage_usec") + 1]) / 1e6
    return None


def peak_memory(hierarchies: Hierarchies, path: str) -> int | None:
    """The most bytes that the cgroup at ``path`` had; None where that cannot be read."""
    with suppress(OSError, ValueError):
        return int(_peak_file(hierarchies, path).read_text())
    return None


def forget_peak(hierarchies: Hierarchies, path: str) -> None:
    """Lets `peak_memory` begin anew, without what the runtime needed; a kernel may not be able to."""
    with suppress(OSError):
        _peak_file(hierarchies, path).write_text("0")


def _peak_file(hierarchies: Hierarchies, path: str) -> Path:
    if hierarchies.unified:
        return _UNIFIED / path / "memory.peak"
    return hierarchies.by_controller["memory"] / path / "memory.max_usage_in_bytes"


def processes(hierarchies: Hierarchies, path: str) -> set[int]:
    """The processes in any of the cgroups at ``path``."""
    found: set[int] = set()
    for folder in hierarchies.folders:
        with suppress(OSError):
            found.update(map(int, (folder / path / "cgroup.procs").read_text().split()))
    return found


def remove_cgroups(hierarchies: Hierarchies, path: str) -> bool:
    """Kills what is left in the cgroups at ``path`` and removes them; whether they are gone. Blocks."""
    give_up = time.monotonic() + _GONE_TIME
    while not _removed(hierarchies, path):
        if time.monotonic() > give_up:
            return False
        for pid in processes(hierarchies, path):
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        time.sleep(_PAUSE)
    return True


def _removed(hierarchies: Hierarchies, path: str) -> bool:
    gone = True
    for folder in hierarchies.folders:
        try:
            os.rmdir(f"{folder}/{path}")  # noqa: PTH106 - each run does it six times
        except FileNotFoundError:
            continue
        except OSError:
            gone = False
    return gone


def _make(control: str, folder: Path | str) -> None:
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_enforced(control, error) from error


def _write(control: str, file: Path | str, value: str | int) -> None:
    try:
        _put(file, str(value).encode())
    except OSError as error:
        raise _not_enforced(control, error) from error


def _put(file: Path | str, value: bytes) -> None:
    # Three calls where Path.write_text makes eight: after each a thread waits for the others.
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value)
    except OSError as error:
        error.filename = str(file)
        raise
    finally:
        os.close(descriptor)


def _read(file: Path | str) -> bytes:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _MUCH)
    finally:
        os.close(descriptor)


def _not_enforced(control: str, error: OSError) -> ControlNotEnforced:
    return ControlNotEnforced(
        f"The limit of {control} cannot be set on this machine ({error.filename}: {error.strerror}), "
        "so nothing was run; the engine oci needs root and cgroups that it may write."
    )
