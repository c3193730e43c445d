"""The one image of an OCI layout, checked before anything in it is used.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md. Each blob is what its digest says,
and each layer, unpacked, what the image's configuration says.
"""

import gzip
import hashlib
import json
import platform
import re
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from sandbox_runner.errors import BuildFailed
from sandbox_runner.provision.tar_stream import Source

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = re.compile(r"application/vnd\.oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+gzip|\+zstd)?")
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"  # what each begins with
_MAX_DOCUMENT = 4 << 20  # bytes of a manifest or a configuration, as registries have it
_MAX_LAYERS = 512
_CHUNK = 1 << 20
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}  # uname's word and Go's


@dataclass(frozen=True, slots=True)
class Layer:
    """``blob`` is the digest of the layer as it is stored, ``unpacked`` that of its archive."""

    blob: str
    size: int
    unpacked: str


@dataclass(frozen=True, slots=True)
class LaidOut:
    """An image in a layout. ``digest`` is its manifest's; ``settings`` are what it says of its process."""

    folder: Path
    digest: str
    layers: tuple[Layer, ...]
    settings: Mapping[str, Any]


def read_layout(folder: Path) -> LaidOut:
    """The image in the layout at ``folder``. Raises BuildFailed where it is none that runs here."""
    try:
        index = json.loads(_read_document(folder / "index.json"))
        (described,) = index["manifests"]
        manifest = _document(folder, described, _MANIFEST)
        config = _document(folder, manifest["config"], _CONFIG)
        _require_machine(config)
        blobs, unpacked = manifest["layers"], config["rootfs"]["diff_ids"]
        if len(blobs) != len(unpacked) or len(blobs) > _MAX_LAYERS:
            raise BuildFailed("The image's list of layers makes no sense.")
        layers = tuple(_layer(blob, digest) for blob, digest in zip(blobs, unpacked, strict=True))
        return LaidOut(folder, _digest(described["digest"]), layers, dict(config.get("config") or {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BuildFailed(f"The image's description cannot be read ({error}).") from error


@contextmanager
def unpacked(image: LaidOut, layer: Layer, *, most: int) -> Iterator["Counted"]:
    """The archive of ``layer``; at the end it must be what the image's configuration says.

    Raises BuildFailed, also where it has more than ``most`` bytes.
    """
    blob = _blob(image.folder, layer.blob, layer.size)
    with blob.open("rb", buffering=0) as stored, _opened(stored) as data:
        counted = Counted(data, most)
        yield counted
        while counted.read(_CHUNK):
            pass
    if counted.digest() != layer.unpacked:
        raise BuildFailed(f"The layer {layer.blob} is not what the image says it is.")


class Counted:
    """Counts and digests what is read through it. Raises BuildFailed after ``most`` bytes."""

    def __init__(self, source: Source, most: int) -> None:
        self._source = source
        self._most = most
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes."""
        try:
            data = self._source.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise BuildFailed(f"A layer of the image cannot be decompressed ({error}).") from error
        self.size += len(data)
        if self.size > self._most:
            raise BuildFailed(
                "The image is too large, unpacked; to take it in all the same raise max_image, "
                "as in --set max_image=20g."
            )
        self._hash.update(data)
        return data

    def digest(self) -> str:
        """Of all that was read."""
        return f"sha256:{self._hash.hexdigest()}"


@contextmanager
def _opened(stored: FileIO) -> Iterator[Source]:
    # By what it is: skopeo 1.9 calls an archive that it did not compress gzip all the same.
    magic = stored.read(len(_ZSTD))
    stored.seek(0)
    if magic.startswith(_GZIP):
        with gzip.GzipFile(fileobj=stored) as data:
            yield data
    elif magic == _ZSTD:
        with _zstd(stored) as data:
            yield data
    else:
        yield stored


@contextmanager
def _zstd(stored: FileIO) -> Iterator[Source]:
    program = shutil.which("zstd")
    if program is None:
        raise BuildFailed("The image is compressed with zstd: install the package zstd, then try again.")
    command = [program, "--decompress", "--stdout", "--quiet"]
    with subprocess.Popen(
        command, stdin=stored, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.kill()


def _layer(described: Mapping[str, Any], unpacked: str) -> Layer:
    kind = str(described.get("mediaType"))
    if "encrypted" in kind:
        raise BuildFailed("The image is encrypted; decrypt it first, with skopeo copy --decryption-key.")
    if not _LAYER.fullmatch(kind):
        raise BuildFailed(f"The image has a layer of the kind {kind[:100]!r}, which is not known here.")
    return Layer(_digest(described["digest"]), int(described["size"]), _digest(unpacked))


def _document(folder: Path, described: Mapping[str, Any], kind: str) -> Any:  # noqa: ANN401 - JSON
    if described.get("mediaType") != kind:
        raise BuildFailed(
            f"The image is described by a {str(described.get('mediaType'))[:100]!r}, which is not known here."
        )
    if int(described["size"]) > _MAX_DOCUMENT:
        raise BuildFailed("The image's description is too large.")
    return json.loads(_blob(folder, _digest(described["digest"]), int(described["size"])).read_bytes())


def _read_document(file: Path) -> bytes:
    if file.stat().st_size > _MAX_DOCUMENT:
        raise BuildFailed("The image's description is too large.")
    return file.read_bytes()


def _blob(folder: Path, digest: str, size: int) -> Path:
    """The file of a blob. Raises BuildFailed where it is not what its digest says."""
    file = folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
    if file.stat().st_size != size:
        raise BuildFailed(f"The blob {digest} has another size than the image says.")
    with file.open("rb") as data:
        if _hashed(data.read) != digest:
            raise BuildFailed(f"The blob {digest} has another digest.")
    return file


def _hashed(read: Callable[[int], bytes]) -> str:
    hashed = hashlib.sha256()
    while data := read(_CHUNK):
        hashed.update(data)
    return f"sha256:{hashed.hexdigest()}"


def _digest(text: object) -> str:
    if not isinstance(text, str) or not _DIGEST.fullmatch(text):
        raise BuildFailed(f"{str(text)[:100]!r} is not a digest that is known here; sha256 is.")
    return text


def _require_machine(config: Mapping[str, Any]) -> None:
    made_for = str(config.get("os")), str(config.get("architecture"))
    here = "linux", _MACHINES.get(platform.machine(), platform.machine())
    if made_for != here:
        raise BuildFailed(
            f"The image is made for {'/'.join(made_for)[:100]}, and this machine is {'/'.join(here)}; "
            "name an image for it."
        )
