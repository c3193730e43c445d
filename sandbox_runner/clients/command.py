"""The command that a client is told to start.

A desktop program starts it with a minimal PATH, in another folder and without the variables of the
user's shell: every path is absolute, and what the server needs to reach its engine goes along.
"""

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox_runner.errors import InvalidRequest

_PACKAGE = Path(__file__).parents[1]
_SCRIPT = "sandbox-runner"
_WINDOWS_SUFFIX = ".exe" if sys.platform == "win32" else ""
_TEXTS = ("DOCKER_HOST", "DOCKER_TLS_VERIFY")
_PATHS = ("DOCKER_CERT_PATH", "DOCKER_CONFIG", "XDG_CONFIG_HOME", "SANDBOX_RUNNER_CONFIG")
_SETTING = re.compile(r"SANDBOX_RUNNER_(?!CONFIG$|TEST_)\w+")
_RUNTIME_SOCKETS = ("docker.sock", "podman/podman.sock")
_UV_CACHE = re.compile(r"(archive|environments|builds)-v\d+")  # the names of uv's cache buckets


@dataclass(frozen=True, slots=True)
class ServerCommand:
    """A program with its arguments, and variables that it gets beside the client's own."""

    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]


def server_command(
    settings: Mapping[str, str],
    *,
    environ: Mapping[str, str] | None = None,
    executable: Path | None = None,
) -> ServerCommand:
    """How to start this very installation as a server on stdio, with ``settings`` as its flags.

    ``executable`` is the Python interpreter, by default that of this process. Raises InvalidRequest
    where this installation may vanish, or its path is no text.
    """
    environ = os.environ if environ is None else environ
    executable = Path(sys.executable) if executable is None else executable
    words, more = _program(Path(os.path.abspath(executable)), environ)  # noqa: PTH100 - a venv's python is a link
    flags = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    found = ServerCommand(words[0], (*words[1:], "stdio", *flags), {**_environment(environ), **more})
    _check_text([found.command, *found.args, *found.env.values()])
    return found


def _program(executable: Path, environ: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    if any(_UV_CACHE.fullmatch(part) for part in executable.parts):
        return [_uvx(environ), _SCRIPT], {}
    script = executable.with_name(_SCRIPT + _WINDOWS_SUFFIX)
    if script.is_file():
        return [str(script)], {}
    # Without a console script it is a checkout, which only the current folder or PYTHONPATH leads to.
    return [str(executable), "-m", "sandbox_runner"], {"PYTHONPATH": str(_PACKAGE.parent)}


def _uvx(environ: Mapping[str, str]) -> str:
    beside = str(Path(environ["UV"]).parent) if environ.get("UV") else ""  # uv tells its children where it is
    found = shutil.which("uvx", path=os.pathsep.join([beside, environ.get("PATH", "")]))
    if found is None:
        raise InvalidRequest(
            "This sandbox-runner is in uv's cache, which uv may empty, and uvx is not on PATH; "
            "run 'uv tool install sandbox-runner', then 'sandbox-runner install' again."
        )
    return os.path.abspath(found)  # noqa: PTH100 - as above


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    given = {name: environ[name] for name in _TEXTS if environ.get(name)}
    given |= {name: os.path.abspath(environ[name]) for name in _PATHS if environ.get(name)}  # noqa: PTH100 - no links resolved
    given |= {name: environ[name] for name in sorted(environ) if _SETTING.fullmatch(name)}
    runtime = environ.get("XDG_RUNTIME_DIR")
    if runtime and any(Path(runtime, socket).exists() for socket in _RUNTIME_SOCKETS):
        given["XDG_RUNTIME_DIR"] = runtime  # the rootless engines' sockets are found through it
    return given


def _check_text(words: Sequence[str]) -> None:
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(
                f"{word!r} is not text, and no configuration can hold it; install sandbox-runner in a "
                "folder with a plain name, or correct that variable."
            ) from None
