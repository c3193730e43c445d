"""The sentry, the process of this machine that is a gVisor container's kernel: what /proc tells of it."""

from pathlib import Path

from sandbox_runner.engines import gvisor
from sandbox_runner.errors import ControlNotEnforced

_NAMESPACES = ("user", "net", "ipc", "uts", "mnt")


class SentryUnseen(ControlNotEnforced):
    """It cannot be found out what holds a container, which may be as it has ended."""


def require_sentry(pid: int, name: str, program: str | None = None) -> None:
    """Raises ControlNotEnforced where ``pid`` is not the sentry of the container ``name``, or is not sealed.

    ``program`` is the runtime's, where it is known that it is started from there.
    """
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
        if words[0] != "runsc-sandbox" or words[-1] != name:
            raise unknown(f"process {pid} is not its sentry")
        if program is not None and not Path(f"/proc/{pid}/exe").samefile(program):
            raise unknown(f"process {pid} is not of {program}")
        gvisor.require_flags(gvisor.parse_flags(words[1:]))
        wrong = _unsealed(pid)
    except (OSError, ValueError) as error:
        raise unknown(str(error)) from error
    if wrong:
        raise not_applied(wrong)


def has_ended(pid: int) -> bool:
    """Whether ``pid`` runs no more. proc(5), the state after the name."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


def unknown(reason: str) -> SentryUnseen:
    """The error where it cannot be found out what holds a container."""
    return SentryUnseen(
        f"It cannot be found out what runsc enforces ({reason}), so nothing was run; use another oci_runtime."
    )


def not_applied(controls: list[str]) -> ControlNotEnforced:
    """The error where it was found out that ``controls`` are missing."""
    return ControlNotEnforced(
        f"runsc did not apply {', '.join(controls)}, so nothing was run; use another oci_runtime."
    )


def _unsealed(pid: int) -> list[str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = {name: words.split() for name, _, words in (line.partition(":") for line in lines)}
    wanted = {"NoNewPrivs": ["1"], "Seccomp": ["2"]}
    wrong = [f"{name} of the sentry" for name, words in wanted.items() if status.get(name) != words]
    ours, theirs = Path("/proc/self/ns"), Path(f"/proc/{pid}/ns")
    shared = [name for name in _NAMESPACES if (ours / name).readlink() == (theirs / name).readlink()]
    return [*wrong, *(f"namespace {name} of the sentry" for name in shared)]
