"""The root filesystems of the embedded engine, taken from images that a Docker engine has."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_runner import definitions
from sandbox_runner.engines.oci.clearing import remove_unnamed
from sandbox_runner.engines.oci.making import making
from sandbox_runner.engines.oci.store import (
    FOREIGN,
    WITH_PACKAGES,
    StoredImage,
    find_stored,
    images_folder,
    names_folder,
    rootfs_of,
    store_name,
)
from sandbox_runner.errors import BuildFailed
from sandbox_runner.places import state_folder
from sandbox_runner.provision.progress import Progress, Report

if TYPE_CHECKING:
    from docker import APIClient

# Where the runtime mounts: they must be there, as a container cannot make them.
MOUNT_POINTS = ("proc", "sys", "dev", "tmp", "workspace")
_DAEMONS_OWN = (".dockerenv",)
_EMPTY_FILES = ("etc/hosts", "etc/hostname", "etc/resolv.conf")
_CHUNK = 1 << 20


def unpack_images(
    api: "APIClient",
    names: Iterable[str],
    *,
    report: Report,
    repository: str = definitions.REPOSITORY,
) -> None:
    """Unpacks each of these images that is not unpacked yet and has an agent; removes what that replaces.

    Raises BuildFailed.
    """
    for name in filter(definitions.has_agent, names):
        found = api.inspect_image(f"{repository}/{name}:latest")
        image = StoredImage(str(found["Id"]), found["Config"]["Labels"])
        if find_stored(name) != image:
            report(Progress("image", name, "is unpacked"))
            if not rootfs_of(image.id).is_dir():
                _unpack(api, image)
            store_name(name, image)
        report(Progress("image", name, "is ready", 1, 1))
    remove_unnamed()


def forget_images(folder: Path, repository: str) -> None:
    """Removes the root filesystems of ``repository`` below ``folder``; one that a container uses stays.

    Those that are not ours go with the usual ones of ours, as the same command brought them.
    """
    if folder != state_folder():
        return
    names = [repository, FOREIGN, WITH_PACKAGES] if repository == definitions.REPOSITORY else [repository]
    for found in filter(Path.is_dir, map(names_folder, names)):
        shutil.rmtree(found)
    remove_unnamed()
    for each in (names_folder(repository).parent, images_folder(), images_folder().parent):
        with suppress(OSError):  # there is something of somebody else's
            each.rmdir()


def _unpack(api: "APIClient", image: StoredImage) -> None:
    """All of it or nothing: it is made beside its place."""
    with making() as scratch:
        rootfs = scratch / "image" / "rootfs"
        rootfs.mkdir(parents=True)
        container = api.create_container(image.id, command=["/bin/true"])["Id"]
        try:
            _extract(api, container, rootfs)
        finally:
            api.remove_container(container)
        finish_rootfs(rootfs)
        rootfs.parent.chmod(0o755)
        rootfs.parent.rename(rootfs_of(image.id).parent)


def _extract(api: "APIClient", container: str, rootfs: Path) -> None:
    # GNU tar keeps owners, modes and links, and writes nowhere else; the archive is of an image of ours.
    with subprocess.Popen(
        ["tar", "-x", "-p", "--numeric-owner", "--delay-directory-restore", "-C", str(rootfs)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as tar:
        assert tar.stdin is not None
        assert tar.stderr is not None
        for piece in api.export(container, chunk_size=_CHUNK):
            tar.stdin.write(piece)
        tar.stdin.close()
        said = tar.stderr.read().decode(errors="replace")
    if tar.returncode != 0:
        raise BuildFailed(f"The image could not be unpacked: {said.strip()[-300:]}")


def finish_rootfs(rootfs: Path) -> None:
    """Makes an unpacked image a root filesystem: with mount points, nothing of a daemon, no set-uid file."""
    for name in _DAEMONS_OWN:
        (rootfs / name).unlink(missing_ok=True)
    shutil.rmtree(rootfs / "dev")
    for name in _EMPTY_FILES:  # nothing of the machine that built it
        (rootfs / name).unlink(missing_ok=True)
        (rootfs / name).touch(mode=0o644)
    for name in MOUNT_POINTS:
        (rootfs / name).mkdir(exist_ok=True)
    for folder, _, files in os.walk(rootfs):
        for name in files:
            _harden(Path(folder) / name)


def _harden(file: Path) -> None:
    mode = file.lstat().st_mode
    if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
        file.chmod(stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID))
