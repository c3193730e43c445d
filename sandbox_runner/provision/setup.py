"""Makes a machine ready for runs: an engine, the base image, our images. Harmless to run again."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_runner import definitions
from sandbox_runner.provision.base import Base, find_base, obtain_base
from sandbox_runner.provision.build import build_image, current_id, our_build, remove_replaced
from sandbox_runner.provision.engine_install import Connect, ensure_engine
from sandbox_runner.provision.host import Host
from sandbox_runner.provision.progress import Consent, Progress, Report

if TYPE_CHECKING:
    from docker import APIClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """``images``: the id of each image by its short name. ``built``: the names of those that are new."""

    images: dict[str, str]
    built: tuple[str, ...]


def prepare(
    connect: Connect,
    *,
    host: Host,
    folder: Path,
    consent: Consent,
    report: Report,
    remote: bool = False,
    base: str | None = None,
    fresh: bool = False,
    wanted: Collection[str] | None = None,
    repository: str = definitions.REPOSITORY,
) -> Prepared:
    """An engine with our images on it, as this version defines them.

    ``wanted`` are those that must be there; the others are built only where an older one is. None means all.
    ``base`` names another image to build on; ``fresh`` builds all anew, with the newest packages.
    ``remote``, ``host``, ``consent`` and ``folder`` are as for `ensure_engine`. Takes minutes the
    first time and a moment after that. The self-tests come after it: see `selftest`.
    Raises EngineUnavailable or BuildFailed, whose messages say what to do.
    """
    api = ensure_engine(connect, host=host, folder=folder, remote=remote, consent=consent, report=report)
    try:
        found = find_base(api, base, repository=repository)
        missing = found is None and (base is not None or not _base_is_current(api, repository))
        if missing or (fresh and base is None):
            found = obtain_base(
                api, base, host=host, folder=folder, consent=consent, report=report, repository=repository
            )
        return build_images(api, found, report=report, fresh=fresh, wanted=wanted, repository=repository)
    finally:
        api.close()


def _base_is_current(api: "APIClient", repository: str) -> bool:
    """Whether what Debian's image was needed for is there already; then nobody misses it."""
    return current_id(api, f"{repository}/base:latest", definitions.identity(definitions.BASE)) is not None


def build_images(
    api: "APIClient",
    base: Base | None,
    *,
    report: Report,
    fresh: bool = False,
    wanted: Collection[str] | None = None,
    repository: str = definitions.REPOSITORY,
) -> Prepared:
    """Builds each image that is not as this version defines it, and removes what that replaces.

    ``base`` None keeps the image `base` that the engine has. Raises BuildFailed or EngineUnavailable.
    """
    images: dict[str, str] = {}
    built: list[str] = []
    for name in _chosen(api, wanted, repository):
        if name == definitions.BASE:
            parent = base
        else:
            parent = Base(f"{repository}/{definitions.BASE}:latest", images[definitions.BASE])
        build = our_build(name, parent=parent, repository=repository)
        present = None if fresh else current_id(api, build.tag, build.labels)
        if present is None:
            built.append(name)
            present = build_image(api, build, report=report, fresh=fresh)
        images[name] = present
        report(Progress("image", name, "is ready", 1, 1))
    remove_replaced(api, tuple(reversed(definitions.image_names())), report=report)
    return Prepared(images=images, built=tuple(built))


def _chosen(api: "APIClient", wanted: Collection[str] | None, repository: str) -> list[str]:
    return [
        name
        for name in definitions.image_names()
        if wanted is None
        or name in wanted
        or not definitions.has_agent(name)
        or current_id(api, f"{repository}/{name}:latest", {}) is not None
    ]
