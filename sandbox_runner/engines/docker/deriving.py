"""Images with a layer of packages on top, made by the daemon from an archive that we wrote."""

import os
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from docker import errors as docker_errors

from sandbox_runner.definitions import LABEL_PACKAGES
from sandbox_runner.errors import StartFailed
from sandbox_runner.spec import Image

if TYPE_CHECKING:
    from docker import APIClient

_CHUNK = 1 << 20
_SILENCE = 300  # seconds without a word from the builder


def derive(client: "APIClient", base: Image, name: str, layer: BinaryIO) -> None:
    """Has ``name`` mean ``base`` with ``layer`` on top. Nothing is run. Raises StartFailed, or as the SDK."""
    # The label first: whatever a broken connection leaves is small.
    text = f"FROM {base.id}\nLABEL {LABEL_PACKAGES}={name}\nADD layer.tar /\n"
    stream = client.build(
        fileobj=_context(text.encode(), layer),  # type: ignore[arg-type] # it is sent as it is
        custom_context=True,
        tag=name,
        rm=True,
        forcerm=True,
        decode=True,
        timeout=_SILENCE,
    )
    for message in stream:
        if "error" in message:
            raise StartFailed(f"The engine could not add the packages to its image: {message['error'][:300]}")


def discard(client: "APIClient", name: str) -> None:
    """Removes ``name``, if it is there. Raises as the SDK does, where a container uses it."""
    with suppress(docker_errors.ImageNotFound):
        client.remove_image(name)


def _context(dockerfile: bytes, layer: BinaryIO) -> Iterator[bytes]:
    """The archive that the daemon is sent, as it goes."""
    size = layer.seek(0, os.SEEK_END)
    layer.seek(0)
    yield _header("Dockerfile", len(dockerfile)) + dockerfile + bytes(-len(dockerfile) % 512)
    yield _header("layer.tar", size)
    while data := layer.read(_CHUNK):
        yield data
    yield bytes(-size % 512 + 1024)


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    return entry.tobuf(tarfile.PAX_FORMAT)
