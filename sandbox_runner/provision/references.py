"""Which image is meant, in skopeo's words, and what it is called here.

https://github.com/containers/image/blob/main/docs/containers-transports.5.md
"""

import re
from dataclasses import dataclass
from pathlib import Path

from sandbox_runner.engines.oci.store import familiar
from sandbox_runner.errors import InvalidRequest

_TRANSPORTS = ("docker", "oci", "oci-archive", "docker-archive", "docker-daemon")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]|[/:@](?=[A-Za-z0-9])){0,511}")  # as `policy` takes it
_GIVE = (
    "give a registry's name such as debian:stable, or oci:DIR:TAG, oci-archive:FILE, docker-archive:FILE or "
    "docker-daemon:NAME:TAG"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """``source`` is what skopeo is told, ``name`` what `run` takes; ``remote``: it comes from a registry."""

    source: str
    name: str
    remote: bool


def read_reference(text: str, *, name: str | None = None) -> Reference:
    """What ``text`` refers to; ``name`` calls it otherwise. Raises InvalidRequest."""
    transport, colon, rest = text.partition(":")
    if not colon or transport not in _TRANSPORTS:
        transport, rest = "docker", f"//{text}"
    if transport == "docker":
        rest = rest.removeprefix("//")
        if not _NAME.fullmatch(rest):
            raise InvalidRequest(f"{text[:200]!r} is no image; {_GIVE}.")
        return Reference(f"docker://{rest}", familiar(_checked(name or rest)), remote=True)
    if not rest:
        raise InvalidRequest(f"{text[:200]!r} names no image; {_GIVE}.")
    called = name or (rest if transport == "docker-daemon" else _name_of_file(rest))
    return Reference(f"{transport}:{rest}", familiar(_checked(called)), remote=False)


def _name_of_file(rest: str) -> str:
    """The name behind the path where there is one, else one after the file."""
    path, _, tag = rest.partition(":")
    if "/" in tag or ":" in tag:
        return tag
    stem = re.sub(r"[^a-z0-9._-]+", "-", Path(path).name.lower()).removesuffix(".tar").strip("-._")
    return f"{stem}:{tag}" if tag else stem


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name[:200]!r} cannot be an image's name; give it one with --as, as my-image:1."
        )
    return name
