"""The seccomp profiles of `seccomp/`, as an engine takes them.

An engine that is handed no profile applies its own, and one that is handed an empty
profile applies none: both are weaker than asked. So a profile is either returned whole
or refused with an error; there is no third way.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from sandbox_runner.assets import asset_folder
from sandbox_runner.errors import ControlNotEnforced, NotPermitted

SHIPPED = ("default", "strict")

# Engines match field names without regard to case ("DefaultAction" would override ours),
# so no other name is let through.
_FIELDS = frozenset({"defaultAction", "defaultErrnoRet", "archMap", "syscalls"})
_NEEDED = frozenset({"names", "action"})
_RULE_FIELDS = _NEEDED | {"comment", "errnoRet", "args", "includes", "excludes"}
_REFUSING = frozenset({"SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD"})


def profile_names(*, folder: Path | None = None) -> tuple[str, ...]:
    """The names a request may use, sorted: the files ``<name>.json`` of ``folder``.

    ``folder`` is this installation's `seccomp/` where none is given. Raises
    ControlNotEnforced where the installation has no such folder.
    """
    return tuple(sorted(path.stem for path in (folder or _installed()).glob("*.json")))


@cache
def load_profile(name: str, *, folder: Path | None = None) -> str:
    """The profile ``name`` as compact JSON, the value of the engine's option ``seccomp=``.

    Comments are left out. ``folder`` is this installation's `seccomp/` where none is given.

    Raises NotPermitted where no profile has this name, and ControlNotEnforced where a
    profile that should be there is missing, is not JSON, or allows what it does not name.
    """
    folder = folder or _installed()
    names = profile_names(folder=folder)
    if name not in names and name not in SHIPPED:
        raise NotPermitted(f"There is no seccomp profile {name!r}; choose one of {', '.join(names)}.")
    try:
        profile = json.loads((folder / f"{name}.json").read_bytes())
    except (OSError, ValueError) as error:
        raise _unusable(name, f"it cannot be read: {error}") from error
    _check(name, profile)
    return json.dumps(_without_comments(profile), separators=(",", ":"))


def _installed() -> Path:
    try:
        return asset_folder("seccomp")
    except FileNotFoundError as error:
        raise ControlNotEnforced(f"{error} Without a seccomp profile nothing is run.") from error


def _unusable(name: str, reason: str) -> ControlNotEnforced:
    return ControlNotEnforced(
        f"The seccomp profile {name!r} is unusable, so nothing was run: {reason}. "
        "Reinstall sandbox-runner, or correct the file."
    )


def _check(name: str, profile: object) -> None:
    """Refuses what an engine would take for no filter, or for a weaker one."""
    if not isinstance(profile, dict):
        raise _unusable(name, "it is not a JSON object")
    if unknown := sorted(profile.keys() - _FIELDS):
        raise _unusable(name, f"it has unknown fields: {', '.join(unknown)}")
    if str(profile.get("defaultAction")) not in _REFUSING:
        raise _unusable(name, "its defaultAction must be SCMP_ACT_ERRNO or one that kills")
    # errno 0 would answer every refused call with success.
    if profile.get("defaultErrnoRet", 1) in (0, None):
        raise _unusable(name, "its defaultErrnoRet must not be 0")
    if not _each(profile.get("archMap"), lambda entry: entry.keys() == {"architecture"}):
        raise _unusable(name, "its archMap must list architectures, without subArchitectures")
    if not _each(profile.get("syscalls"), lambda rule: _NEEDED <= rule.keys() <= _RULE_FIELDS):
        raise _unusable(name, "its syscalls must be a list of rules, each with names and an action")


def _each(entries: object, holds: Callable[[dict[str, object]], bool]) -> bool:
    """Whether ``entries`` is a list, not empty, of objects for each of which ``holds`` is true."""
    if not isinstance(entries, list) or not entries:
        return False
    return all(isinstance(entry, dict) and holds(entry) for entry in entries)


def _without_comments(profile: dict[str, Any]) -> dict[str, Any]:
    rules = [{key: rule[key] for key in rule if key != "comment"} for rule in profile["syscalls"]]
    return {**profile, "syscalls": rules}
