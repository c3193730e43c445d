"""The keys that callers show: made here, stored as SHA-256, compared in constant time.

A secret is 256 random bits, so a fast hash tells nothing of it. Several keys may have one name, so
that a key can be replaced without a pause. A stored key is a line ``NAME:sha256:HASH``.
"""

import hmac
import os
import secrets
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from sandbox_runner.config import Config
from sandbox_runner.config.kinds import KEY_LINE
from sandbox_runner.config.sources import user_file
from sandbox_runner.errors import ConfigError, InvalidRequest
from sandbox_runner.request import LOCAL_USER, Principal

_PREFIX = "sbx_"  # lets scanners of published files find a key that leaked
_LEAST = 32  # characters: what is shorter was chosen by a person
_MOST = 512
_MAX_FILE = 1 << 20
_HOW = "run: sandbox-runner http --new-key NAME"


@dataclass(frozen=True, slots=True)
class Key:
    """A key's owner, and the SHA-256 of its secret."""

    name: str
    digest: bytes = field(repr=False)


def find_principal(keys: Sequence[Key], secret: bytes) -> Principal | None:
    """Whose ``secret`` it is. Takes the same time whichever key it is, or none."""
    digest = sha256(secret[: _MOST + 1]).digest()
    found = None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return Principal(found.name) if found is not None and _LEAST <= len(secret) <= _MOST else None


def load_keys(config: Config, environ: Mapping[str, str] | None = None) -> tuple[Key, ...]:
    """All keys of ``config`` and of its file. Raises ConfigError, which shows no part of a key."""
    path = keys_path(config, environ)
    lines = list(config.keys)
    if path is not None and (config.keys_file or path.exists()):
        lines += _read(path)
    keys = tuple(dict.fromkeys(map(_key, lines)))
    _check_owners(keys)
    return keys


def keys_path(config: Config, environ: Mapping[str, str] | None = None) -> Path | None:
    """The file with the keys; None where none is configured and there is no home for it."""
    if config.keys_file:
        return Path(config.keys_file)
    own = user_file(os.environ if environ is None else environ)
    return own.with_name("http-keys") if own else None


def add_key(path: Path, name: str) -> str:
    """A new secret for ``name``; its hash is added to the file, which only its owner may read.

    Raises InvalidRequest for a name that cannot be one, ConfigError for a file that cannot be used.
    """
    secret = _PREFIX + secrets.token_urlsafe(32)
    line = f"{name}:sha256:{sha256(secret.encode()).hexdigest()}"
    if KEY_LINE.fullmatch(line) is None or name == LOCAL_USER.id:
        raise InvalidRequest(
            f"{name!r} cannot be the name of a key; give up to 63 letters, digits and . _ @ -, "
            f"and not {LOCAL_USER.id}."
        )
    torn = path.exists() and _read(path) and not path.read_bytes().endswith(b"\n")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w") as file:
            file.write("\n" * bool(torn) + line + "\n")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror}); name another file with keys_file."
        ) from None
    return secret


def _read(path: Path) -> list[str]:
    """The file's keys as lines. Raises ConfigError where others could have added one."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_MAX_FILE + 1).decode("ascii", "replace")
    except OSError as error:
        raise ConfigError(f"{path} with the keys cannot be read ({error.strerror}); {_HOW}") from None
    if os.name == "posix" and mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(f"Others may write {path}, and so add keys; take that from them: chmod 600 {path}")
    if len(text) > _MAX_FILE:
        raise ConfigError(f"{path} has more than {_MAX_FILE} bytes; keys need far fewer.")
    lines = []
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if line and not line.startswith("#"):
            if KEY_LINE.fullmatch(line) is None:
                raise ConfigError(f"Line {number} of {path} is not NAME:sha256:HASH; remove it, then {_HOW}")
            lines.append(line)
    return lines


def _key(line: str) -> Key:
    name, _, digest = line.split(":")
    return Key(name, bytes.fromhex(digest))


def _check_owners(keys: Iterable[Key]) -> None:
    owners: dict[bytes, str] = {}
    for key in keys:
        if key.name == LOCAL_USER.id:
            raise ConfigError(f"A key is called {key.name}, which means this machine's user; rename it.")
        if owners.setdefault(key.digest, key.name) != key.name:
            raise ConfigError(
                f"{owners[key.digest]} and {key.name} have the same key; give each their own: {_HOW}"
            )
