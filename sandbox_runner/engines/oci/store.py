"""The root filesystems of images, unpacked once and shared read-only by all containers.

oci/images/<digest>/rootfs      owned by root, never written again
oci/names/<repository>/<name>   {"id": …, "labels": …, …}: what the name means now
oci/names/foreign/<hash>        the same for an image that is not ours, by the hash of its name
oci/names/packages/<hash>       the same for one of ours with packages
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from sandbox_runner.definitions import PACKAGES, REPOSITORY, image_tag
from sandbox_runner.places import state_folder

FOREIGN, WITH_PACKAGES = "foreign", "packages"


@dataclass(frozen=True, slots=True)
class StoredImage:
    """``id`` is the digest that names its folder; ``labels`` are the image's.

    Of one that is not ours: its ``name``, how many bytes it had, unpacked, and its own command,
    environment (``NAME=VALUE``) and folder.
    """

    id: str
    labels: Mapping[str, str]
    name: str = ""
    size: int = 0
    argv: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = ""


def images_folder() -> Path:
    """Where the root filesystems are."""
    return state_folder() / "oci" / "images"


def names_folder(repository: str) -> Path:
    """Where the names of the images are."""
    return state_folder() / "oci" / "names" / repository


def rootfs_of(image_id: str) -> Path:
    """The root filesystem of an image that `find_stored` named."""
    return images_folder() / image_id.removeprefix("sha256:") / "rootfs"


def familiar(name: str) -> str:
    """A foreign image's name as Docker shortens it: without its own registry, and with a tag.

    >>> familiar("docker.io/library/debian")
    'debian:latest'
    """
    for usual in ("docker.io/", "library/"):
        name = name.removeprefix(usual)
    return name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"


def find_stored(name: str) -> StoredImage | None:
    """The image that ``name`` means now, one of ours or another; None where there is none."""
    found = None if "/" in name else _read(names_folder(REPOSITORY) / name)
    return found or (None if image_tag(name) else _read(_foreign_file(name)))


def foreign_images() -> list[StoredImage]:
    """All images that are not ours, by name."""
    files = names_folder(FOREIGN).glob("*")
    found = (_read(file) for file in files if file.suffix != ".new")
    return sorted(filter(None, found), key=lambda image: image.name)


def store_name(name: str, image: StoredImage) -> None:
    """Lets ``name`` mean ``image``: one of ours, or another where the image has a name of its own."""
    file = _foreign_file(name) if image.name else names_folder(REPOSITORY) / name
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps({**asdict(image), "labels": dict(image.labels)}), "utf-8")
    new.replace(file)


def forget_name(name: str) -> bool:
    """Lets ``name`` mean no foreign image any more; whether it meant one."""
    try:
        _foreign_file(name).unlink()
    except FileNotFoundError:
        return False
    return True


def named_images() -> set[str]:
    """The ids of all images that a name means now."""
    files = (state_folder() / "oci" / "names").glob("*/*")
    return {str(json.loads(file.read_bytes())["id"]) for file in files if file.suffix != ".new"}


def _read(file: Path) -> StoredImage | None:
    try:
        state = file.stat()
        image = _parsed(file, (state.st_ino, state.st_mtime_ns, state.st_size))
    except OSError:
        return None
    return image if image is not None and rootfs_of(image.id).is_dir() else None


@lru_cache(maxsize=128)
def _parsed(file: Path, version: tuple[int, ...]) -> StoredImage | None:
    """Each run asks; a name gets another meaning only by another file in its place."""
    try:
        found = json.loads(file.read_bytes())
        return StoredImage(
            str(found["id"]),
            dict(found["labels"]),
            name=str(found.get("name", "")),
            size=int(found.get("size", 0)),
            argv=tuple(map(str, found.get("argv", ()))),
            env=tuple(map(str, found.get("env", ()))),
            cwd=str(found.get("cwd", "")),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _foreign_file(name: str) -> Path:
    folder = names_folder(WITH_PACKAGES if name.startswith(f"{PACKAGES}:") else FOREIGN)
    return folder / hashlib.sha256(familiar(name).encode()).hexdigest()
