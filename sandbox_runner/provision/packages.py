"""Debian packages of this machine: installing what setup needs, and removing exactly that."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sandbox_runner.provision.commands import run_command
from sandbox_runner.provision.state import load_state, save_state

_TIMEOUT = 1800  # seconds; apt-get itself gives up sooner on a mirror that does not answer
_ENV = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
_APT = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120")
_REMOVED = re.compile(r"(?:Remv|Purg) (\S+)")


def install(packages: Sequence[str], *, folder: Path, on_line: Callable[[str], None]) -> None:
    """Installs what is missing of ``packages``, and records in ``folder`` all that came with it.

    Raises CommandFailed.
    """
    before = _installed()
    missing = [package for package in packages if package not in before]
    if not missing:
        return
    _apt("update", on_line=on_line)
    try:
        _apt("install", "--no-install-recommends", *missing, on_line=on_line)
    finally:
        state = load_state(folder)
        new = _installed() - before - set(state.packages)
        save_state(folder, replace(state, packages=(*state.packages, *sorted(new))))


def remove(packages: Sequence[str], *, on_line: Callable[[str], None]) -> tuple[str, ...]:
    """Purges ``packages``; does nothing, and names them, where others depend on them by now.

    Raises CommandFailed.
    """
    if not packages:
        return ()
    present = sorted(_installed().intersection(packages))
    if not present:
        return ()
    plan = run_command(
        (*_APT, "-s", "purge", *present), on_line=_ignore, timeout=_TIMEOUT, env=_ENV, keep=10_000
    )
    others = {match[1] for line in plan if (match := _REMOVED.match(line))} - set(present)
    if not others:
        _apt("purge", *present, on_line=on_line)
    return tuple(sorted(others))


def _apt(*arguments: str, on_line: Callable[[str], None]) -> None:
    run_command((*_APT, *arguments), on_line=on_line, timeout=_TIMEOUT, env=_ENV)


def _installed() -> set[str]:
    query = ("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n")
    lines = run_command(query, on_line=_ignore, timeout=60, keep=1_000_000)
    return {package for status, package in map(str.split, lines) if status == "ii"}


def _ignore(_line: str) -> None:
    """Nobody need see it."""
