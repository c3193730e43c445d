"""The root filesystems of images, unpacked once and shared read-only by all containers.

oci/images/<digest>/rootfs      owned by root, never written again
oci/names/<repository>/<name>   {"id": …, "labels": …}: what the name means now
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox_runner.definitions import REPOSITORY
from sandbox_runner.places import state_folder


@dataclass(frozen=True, slots=True)
class StoredImage:
    """``id`` is the digest that names its folder; ``labels`` are the image's."""

    id: str
    labels: Mapping[str, str]


def images_folder() -> Path:
    """Where the root filesystems are."""
    return state_folder() / "oci" / "images"


def names_folder(repository: str) -> Path:
    """Where the names of the images are."""
    return state_folder() / "oci" / "names" / repository


def rootfs_of(image_id: str) -> Path:
    """The root filesystem of an image that `find_stored` named."""
    return images_folder() / image_id.removeprefix("sha256:") / "rootfs"


def find_stored(name: str) -> StoredImage | None:
    """The image of ours that ``name`` means now; None where there is none."""
    try:
        found = json.loads(_name_file(name).read_bytes())
        image = StoredImage(str(found["id"]), dict(found["labels"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return image if rootfs_of(image.id).is_dir() else None


def store_name(name: str, image: StoredImage) -> None:
    """Lets ``name`` mean ``image``."""
    file = _name_file(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps({"id": image.id, "labels": dict(image.labels)}), "utf-8")
    new.replace(file)


def named_images() -> set[str]:
    """The ids of all images that a name means now."""
    files = (state_folder() / "oci" / "names").glob("*/*")
    return {str(json.loads(file.read_bytes())["id"]) for file in files if file.suffix != ".new"}


def _name_file(name: str) -> Path:
    return names_folder(REPOSITORY) / name
