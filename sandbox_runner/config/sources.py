"""Where the settings' values come from, in rising order of weight.

The defaults; one TOML file; environment variables ``SANDBOX_RUNNER_<SETTING>``; the command
line. The file is the first of

* the path in ``$SANDBOX_RUNNER_CONFIG``, which must exist where that is set,
* the user's: ``$XDG_CONFIG_HOME/sandbox-runner/config.toml``, by default below ``~/.config``, on
  macOS too (where git and most command lines look); on Windows below ``%APPDATA%``,
* ``/etc/sandbox-runner/config.toml``, except on Windows.

Files are not merged. An empty text means "none" for a setting that can be none or is a list.
"""

import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox_runner.config.settings import SETTINGS, Config, checked
from sandbox_runner.errors import ConfigError
from sandbox_runner.places import SYSTEM_CONFIG, config_folder

PREFIX = "SANDBOX_RUNNER_"
FILE_VARIABLE = PREFIX + "CONFIG"
_TESTS = PREFIX + "TEST_"  # variables of the tests, which start this program
_MAX_FILE = 1 << 20


@dataclass(frozen=True, slots=True)
class Effective:
    """The settings in force, and by name where each came from.

    A source is ``default``, ``file PATH``, ``environment NAME`` or ``command line``.
    """

    config: Config
    sources: Mapping[str, str]


def load_config(
    *, flags: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
) -> Effective:
    """The settings from all sources; ``flags`` are texts by setting, ``environ`` is os.environ by default.

    Raises ConfigError for the first thing that is wrong: an unknown setting, a value that
    cannot be used, a file that cannot be read.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    sources = dict.fromkeys(SETTINGS, "default")
    for source, name, value in (*_from_file(environ), *_from_environment(environ), *_from_flags(flags or {})):
        values[name] = value
        sources[name] = source
    return Effective(Config(**checked(values, sources=sources)), sources)


def user_file(environ: Mapping[str, str]) -> Path | None:
    """Where this user's file is looked for; None where the environment names no home."""
    folder = config_folder(environ)
    return folder / "config.toml" if folder else None


def _from_file(environ: Mapping[str, str]) -> Iterator[tuple[str, str, object]]:
    explicit = environ.get(FILE_VARIABLE)
    system = None if sys.platform == "win32" else SYSTEM_CONFIG / "config.toml"
    for path in [Path(explicit)] if explicit else [user_file(environ), system]:
        values = _read(path) if path else None
        if values is None:
            continue
        for name, value in values.items():
            _check_known(name, f"file {path}", name)
            yield f"file {path}", name, value
        return
    if explicit:
        raise ConfigError(f"{FILE_VARIABLE} names {explicit}, which does not exist; correct or unset it.")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(
            f"file {path} cannot be read ({error.strerror}); "
            f"make it readable, or name another file in {FILE_VARIABLE}."
        ) from None
    if len(data) > _MAX_FILE:
        raise ConfigError(f"file {path} has more than {_MAX_FILE} bytes; settings need far fewer.")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigError(f"file {path} is not UTF-8; save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"file {path} is not TOML ({error}); write NAME = VALUE on each line.") from None


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str, object]]:
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable != FILE_VARIABLE and not variable.startswith(_TESTS):
            name = variable.removeprefix(PREFIX).lower()
            _check_known(name, "environment", variable)
            yield f"environment {variable}", name, environ[variable]


def _from_flags(flags: Mapping[str, str]) -> Iterator[tuple[str, str, object]]:
    for name, value in flags.items():
        _check_known(name, "command line", name)
        yield "command line", name, value


def _check_known(name: str, source: str, written: str) -> None:
    if name in SETTINGS:
        return
    import difflib  # noqa: PLC0415 - for the one who mistyped, not for each run

    close = difflib.get_close_matches(name.lower().replace("-", "_"), SETTINGS, n=1)
    meant = (PREFIX + close[0].upper() if written.startswith(PREFIX) else close[0]) if close else ""
    hint = f"did you mean {meant}?" if meant else "'sandbox-runner config' lists the settings."
    raise ConfigError(f"{source}: {written} is not a setting; {hint}")
