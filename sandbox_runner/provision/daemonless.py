"""Builds our images as root filesystems on a Debian machine without any container engine.

Their definitions use three instructions of a Dockerfile: FROM, COPY and RUN. The last runs in a chroot
with namespaces of its own; it is our own definition, as trusted as this package.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from sandbox_runner import definitions
from sandbox_runner.engines.oci.clearing import remove_unnamed
from sandbox_runner.engines.oci.making import making
from sandbox_runner.engines.oci.store import StoredImage, find_stored, rootfs_of, store_name
from sandbox_runner.errors import BuildFailed
from sandbox_runner.provision.base import debootstrap, require_tools
from sandbox_runner.provision.commands import CommandFailed, run_command
from sandbox_runner.provision.host import Host
from sandbox_runner.provision.progress import Consent, Progress, Report
from sandbox_runner.provision.unpack import finish_rootfs

_STEP_TIME = 1800  # seconds; the packages of an image are a few hundred megabytes
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_INSIDE = """
mount --make-rprivate /
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
touch "$1/etc/resolv.conf"
[ ! -e /etc/resolv.conf ] || mount --bind /etc/resolv.conf "$1/etc/resolv.conf"
exec chroot "$1" sh -c "$2"
"""
_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
}


def build_rootfs(
    *,
    host: Host,
    folder: Path,
    consent: Consent,
    report: Report,
    fresh: bool = False,
    wanted: Collection[str] | None = None,
) -> tuple[str, ...]:
    """Builds each image that is not as this version defines it; the names of those that are new.

    ``folder`` records the packages that were installed for it. Raises BuildFailed.
    """
    built: list[str] = []
    try:
        for name in definitions.image_names():
            stored = find_stored(name)
            if stored is None and wanted is not None and name not in {*wanted, definitions.BASE}:
                continue
            if fresh or stored is None or not definitions.is_current(stored.labels):
                if name == definitions.BASE:
                    require_tools(host, folder, consent, report)
                _build(name, report)
                built.append(name)
            report(Progress("image", name, "is ready", 1, 1))
    except CommandFailed as error:
        raise BuildFailed(f"The images could not be built: {error}", lines=error.lines) from error
    remove_unnamed()
    return tuple(built)


def _build(name: str, report: Report) -> None:
    """All of it or nothing: it is made beside its place."""
    with making() as scratch:
        rootfs = scratch / "image" / "rootfs"
        rootfs.parent.mkdir()
        labels = definitions.identity(name)
        _begin(name, rootfs, labels, report)
        for word, text in _instructions(definitions.image_files(name)["Dockerfile"].decode()):
            report(Progress("image", name, f"{word} {text[:80]}"))
            if word == "COPY":
                _copy(name, rootfs, text.split())
            else:
                _run(name, rootfs, text, report)
        finish_rootfs(rootfs)
        image = StoredImage(_digest(labels), labels)
        shutil.rmtree(rootfs_of(image.id).parent, ignore_errors=True)
        rootfs.parent.chmod(0o755)
        rootfs.parent.rename(rootfs_of(image.id).parent)
    store_name(name, image)


def _begin(name: str, rootfs: Path, labels: dict[str, str], report: Report) -> None:
    if name == definitions.BASE:
        debootstrap(rootfs, _architecture(), report)
        return
    parent = find_stored(definitions.BASE)
    assert parent is not None
    labels[definitions.LABEL_PARENT] = parent.id
    copy = ("cp", "-a", "--reflink=auto", str(rootfs_of(parent.id)), str(rootfs))
    run_command(copy, on_line=_ignore, timeout=_STEP_TIME)


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each COPY and RUN with what follows it, on one line."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, _, rest = line.partition(" ")
        if word in ("COPY", "RUN"):
            yield word, rest.strip()
        elif word not in ("ARG", "FROM", ""):
            raise BuildFailed(f"{word} cannot be built without an engine; use: sandbox-runner setup")


def _copy(name: str, rootfs: Path, words: list[str]) -> None:
    files = dict(definitions.image_files(name))
    files |= {f"agent/{path}": data for path, data in definitions.agent_files(name).items()}
    *sources, destination = words
    target = rootfs / destination.lstrip("/")
    for source in sources:
        for path, data in files.items():
            if path == source or path.startswith(f"{source}/"):
                below = path.removeprefix(source).lstrip("/")
                whole = target / below if below else target / path if destination.endswith("/") else target
                whole.parent.mkdir(parents=True, exist_ok=True)
                whole.write_bytes(data)
                whole.chmod(0o644)


def _run(name: str, rootfs: Path, command: str, report: Report) -> None:
    (rootfs / "dev").mkdir(exist_ok=True)
    proxies = {each: os.environ[each] for each in _PROXIES if each in os.environ}
    settings = [f"{key}={value}" for key, value in {**_ENV, **proxies}.items()]
    isolated = ("unshare", "--mount", "--pid", "--fork", "--ipc", "--uts", "--kill-child")
    run_command(
        ("env", "-i", *settings, *isolated, "sh", "-euc", _INSIDE, "sh", str(rootfs), command),
        on_line=lambda line: report(Progress("image", name, line)),
        timeout=_STEP_TIME,
    )


def _architecture() -> str:
    return run_command(("dpkg", "--print-architecture"), on_line=_ignore, timeout=60)[0]


def _digest(labels: dict[str, str]) -> str:
    """An id for the folder: of what was built, and when, as packages change under one definition."""
    text = json.dumps([labels, os.urandom(16).hex()], sort_keys=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _ignore(_line: str) -> None:
    """Nobody need see it."""
