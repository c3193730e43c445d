"""Root filesystems with a layer of packages on top. What they share with their base is linked to it.

No root filesystem is ever written again, so one that shares its files costs their names.
"""

import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import BinaryIO

from sandbox_runner.definitions import LABEL_PACKAGES
from sandbox_runner.engines.oci.clearing import remove_unnamed
from sandbox_runner.engines.oci.making import making
from sandbox_runner.engines.oci.store import StoredImage, find_stored, forget_name, rootfs_of, store_name
from sandbox_runner.errors import StartFailed
from sandbox_runner.spec import Image


def derive(base: Image, name: str, layer: BinaryIO) -> None:
    """Has ``name`` mean ``base`` with ``layer`` on top, which is an archive that we wrote.

    All of it or nothing: it is made beside its place. Blocks. Raises StartFailed.
    """
    below = find_stored(base.name)
    if below is None or below.id != base.id:
        raise StartFailed("The image was replaced while packages were added to it; run the program again.")
    digest = hashlib.sha256(f"{base.id} {name}".encode()).hexdigest()
    image = StoredImage(f"sha256:{digest}", {**below.labels, LABEL_PACKAGES: name}, name=name)
    try:
        with making() as scratch:
            rootfs = scratch / "image" / "rootfs"
            rootfs.parent.mkdir()
            subprocess.run(["cp", "-al", str(rootfs_of(base.id)), str(rootfs)], check=True)
            _unpack(layer, rootfs)
            rootfs.parent.chmod(0o755)
            shutil.rmtree(rootfs_of(image.id).parent, ignore_errors=True)
            # Named first: a root filesystem without a name is taken for left behind.
            store_name(name, image)
            rootfs.parent.rename(rootfs_of(image.id).parent)
    except (OSError, subprocess.CalledProcessError) as error:
        raise StartFailed(f"The packages could not be added to the image ({error}).") from error


def discard(name: str) -> None:
    """Removes ``name``; its root filesystem once no container uses that. Blocks."""
    forget_name(name)
    remove_unnamed()


def _unpack(layer: BinaryIO, rootfs: Path) -> None:
    """Every name in it was checked by whoever wrote it; nothing of the base is where the files go."""
    with tarfile.open(fileobj=layer, mode="r:") as archive:
        for entry in archive:
            place = rootfs / entry.name
            if entry.isdir():
                place.mkdir(exist_ok=True)
                continue
            data = archive.extractfile(entry)
            assert data is not None
            with place.open("xb") as file:
                shutil.copyfileobj(data, file)
            place.chmod(entry.mode)
