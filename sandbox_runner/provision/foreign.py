"""Takes an image that is not ours into the embedded engine's store: fetched by skopeo, unpacked by us.

The image is a stranger's. skopeo parses what comes from afar and checks it against its digests; nothing of
it is executed, and our own unpacking makes nothing outside the folder that the image gets.
"""

import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sandbox_runner.engines.oci.clearing import remove_unnamed
from sandbox_runner.engines.oci.init import PACKAGE as INIT_PACKAGE
from sandbox_runner.engines.oci.init import find_init
from sandbox_runner.engines.oci.making import making
from sandbox_runner.engines.oci.store import StoredImage, foreign_images, forget_name, rootfs_of, store_name
from sandbox_runner.errors import BuildFailed, StartFailed
from sandbox_runner.hardening import HOSTNAME
from sandbox_runner.provision import packages
from sandbox_runner.provision.commands import CommandFailed, run_command
from sandbox_runner.provision.host import Host
from sandbox_runner.provision.layers import RootFolder
from sandbox_runner.provision.layout import LaidOut, read_layout, unpacked
from sandbox_runner.provision.progress import Consent, Progress, Report
from sandbox_runner.provision.references import Reference
from sandbox_runner.provision.unpack import MOUNT_POINTS

_FETCHING = 3600  # seconds
_POLICY = Path("/etc/containers/policy.json")
_MESSAGE = re.compile(r'msg="((?:[^"\\]|\\.)*)"')
_MODES = {"tmp": 0o1777, "workspace": 0o700}  # runc gives what it mounts there the mode of what is below
_FILES = {
    "etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
    "etc/hostname": f"{HOSTNAME}\n",
    "etc/resolv.conf": "nameserver 127.0.0.1\n",  # as Docker is told: it says at once that nobody answers
}


def take_in(
    references: Sequence[Reference],
    *,
    most: int,
    host: Host,
    folder: Path,
    consent: Consent,
    report: Report,
) -> None:
    """Has each image in the store; one that is there as it is now costs only the look at its digest.

    ``most`` is how many bytes one may have, unpacked. The rest is as for `setup.prepare`.
    Raises BuildFailed, whose message says what to do.
    """
    if references:
        _require_tools(host, folder, consent, report)
    for reference in references:
        _take_in(reference, most, report)
        report(Progress("image", reference.name, "is ready", 1, 1))
    remove_unnamed()


def remove_foreign(name: str) -> bool:
    """Removes the image ``name``, if there is one and it is not ours; whether there was.

    What a container uses is removed by the next setup.
    """
    known = forget_name(name)
    remove_unnamed()
    return known


def _take_in(reference: Reference, most: int, report: Report) -> None:
    with making() as scratch:
        image = _fetch(reference, scratch, most, report)
        place = rootfs_of(image.digest).parent
        known = next((each.size for each in foreign_images() if each.id == image.digest), 0)
        new = scratch / "image"
        if not place.is_dir():
            known = _unpack(image, new / "rootfs", reference.name, most, report)
        # Named first: a root filesystem without a name is taken for left behind.
        store_name(reference.name, _described(image, reference.name, known))
        if new.is_dir():
            new.chmod(0o755)
            new.rename(place)


def _fetch(reference: Reference, scratch: Path, most: int, report: Report) -> LaidOut:
    layout, temporary = scratch / "layout", scratch / "tmp"
    temporary.mkdir()
    policies = (_POLICY, Path.home() / ".config" / "containers" / "policy.json")
    trusted = () if any(map(Path.is_file, policies)) else ("--insecure-policy",)
    wanted = ("--dest-oci-accept-uncompressed-layers", reference.source, f"oci:{layout}:image")
    report(Progress("image", reference.name, f"is fetched from {reference.source}"))
    try:
        run_command(
            # It ends with us; one file, and all together, are bounded before anything of them is known.
            (
                *("setpriv", "--pdeathsig", "KILL", "prlimit", f"--fsize={most}"),
                *("skopeo", *trusted, "--tmpdir", str(temporary), "copy", *wanted),
            ),
            on_line=lambda line: report(Progress("image", reference.name, _said(line))),
            timeout=_FETCHING,
            go_on=lambda: _size_of(scratch) <= 2 * most,
        )
    except CommandFailed as error:
        raise _not_fetched(reference, error) from error
    return read_layout(layout)


def _not_fetched(reference: Reference, error: CommandFailed) -> BuildFailed:
    reason = _said(error.lines[-1]) if error.lines else str(error)
    advice = (
        "Where this machine does not reach the registry, copy it on one that does: skopeo copy "
        f"{reference.source} oci-archive:FILE, then give oci-archive:FILE."
        if reference.remote
        else "Correct that, then try again."
    )
    return BuildFailed(
        f"The image {reference.name} could not be fetched: {reason[-400:]} {advice}", lines=error.lines
    )


def _said(line: str) -> str:
    """What a line of skopeo's log says."""
    message = _MESSAGE.search(line)
    return message[1].replace('\\"', '"') if message else line


def _size_of(folder: Path) -> int:
    sizes = 0
    for here, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):  # it is gone by now
                sizes += (Path(here) / name).lstat().st_size
    return sizes


def _unpack(image: LaidOut, rootfs: Path, name: str, most: int, report: Report) -> int:
    """Puts the layers together; how many bytes they have."""
    rootfs.mkdir(parents=True)
    root = RootFolder(rootfs)
    size, count = 0, len(image.layers)
    for number, layer in enumerate(image.layers):
        report(Progress("image", name, f"layer {number + 1} is unpacked", number, count))
        with unpacked(image, layer, most=most - size) as archive:
            root.apply(archive)
        size += archive.size
    for each in MOUNT_POINTS:
        root.make_folder(each, _MODES.get(each, 0o755))
    for file, text in _FILES.items():
        root.write(file, text)
    rootfs.chmod(0o755)
    return size


def _described(image: LaidOut, name: str, size: int) -> StoredImage:
    settings = image.settings
    try:
        return StoredImage(
            image.digest,
            {str(key): str(value) for key, value in (settings.get("Labels") or {}).items()},
            name=name,
            size=size,
            argv=tuple(map(str, [*(settings.get("Entrypoint") or ()), *(settings.get("Cmd") or ())])),
            env=tuple(map(str, settings.get("Env") or ())),
            cwd=str(settings.get("WorkingDir") or ""),
        )
    except (TypeError, AttributeError) as error:
        raise BuildFailed(f"The image's configuration makes no sense ({error}).") from error


def _require_tools(host: Host, folder: Path, consent: Consent, report: Report) -> None:
    missing = [] if shutil.which("skopeo") else ["skopeo"]
    try:
        find_init()
    except StartFailed:
        missing.append(INIT_PACKAGE)
    if not missing:
        return
    wanted = " and ".join(missing)
    if not (host.debian and host.root):
        raise BuildFailed(f"Images that are not ours need {wanted}; install that, then try again.")
    if not consent(f"Install the Debian packages {wanted} with apt-get."):
        raise BuildFailed(f"Images that are not ours need {wanted}: apt-get install {' '.join(missing)}")
    try:
        packages.install(
            missing, folder=folder, on_line=lambda line: report(Progress("engine", missing[0], line))
        )
    except CommandFailed as error:
        raise BuildFailed(f"{wanted} could not be installed: {error}", lines=error.lines) from error
    find_init.cache_clear()
