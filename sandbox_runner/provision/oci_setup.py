"""Makes a machine ready for the embedded engine: a runtime, and the root filesystems of our images."""

from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path

from sandbox_runner.engines.oci.engine import require_usable
from sandbox_runner.engines.oci.runtime import find_runtime
from sandbox_runner.errors import EngineUnavailable
from sandbox_runner.provision import packages
from sandbox_runner.provision.commands import CommandFailed
from sandbox_runner.provision.daemonless import build_rootfs
from sandbox_runner.provision.engine_install import Connect
from sandbox_runner.provision.foreign import take_in
from sandbox_runner.provision.host import Host
from sandbox_runner.provision.progress import Consent, Progress, Report
from sandbox_runner.provision.references import Reference
from sandbox_runner.provision.setup import prepare
from sandbox_runner.provision.unpack import unpack_images


def prepare_oci(
    connect: Connect,
    *,
    host: Host,
    folder: Path,
    consent: Consent,
    report: Report,
    oci_runtime: str | None = None,
    base: str | None = None,
    fresh: bool = False,
    images: Sequence[Reference] = (),
    max_image: int = 0,
    wanted: Collection[str] | None = None,
) -> tuple[str, ...]:
    """A runtime and our images; the names of the images that were built.

    Where a Docker engine answers it builds them, and they are unpacked from it; else they are made
    of Debian packages here. Then ``images``, which are not ours, are taken in, each of ``max_image``
    bytes at most. The other arguments are as for `setup.prepare`.
    Raises EngineUnavailable, ControlNotEnforced or BuildFailed, whose messages say what to do.
    """
    require_usable()
    _ensure_runtime(oci_runtime, host=host, folder=folder, consent=consent, report=report)
    try:
        connect().close()
    except EngineUnavailable:
        built = build_rootfs(
            host=host, folder=folder, consent=consent, report=report, fresh=fresh, wanted=wanted
        )
    else:
        prepared = prepare(
            connect, host=host, folder=folder, consent=consent, report=report,
            base=base, fresh=fresh, wanted=wanted,
        )  # fmt: skip
        built = prepared.built
        with closing(connect()) as api:
            unpack_images(api, tuple(prepared.images), report=report)
    take_in(images, most=max_image, host=host, folder=folder, consent=consent, report=report)
    return built


def _ensure_runtime(
    wanted: str | None, *, host: Host, folder: Path, consent: Consent, report: Report
) -> None:
    try:
        find_runtime(wanted, unified=False)
    except EngineUnavailable:
        package = wanted or "crun"
        if not host.debian or not consent(f"Install the Debian package {package} with apt-get."):
            raise
        try:
            packages.install(
                (package,), folder=folder, on_line=lambda line: report(Progress("engine", package, line))
            )
        except CommandFailed as error:
            raise EngineUnavailable(f"{package} could not be installed: {error}") from error
