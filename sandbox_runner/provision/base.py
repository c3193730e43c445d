"""The image that ours are built on: found, else pulled, else made of Debian packages."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import requests.exceptions
from docker.errors import APIError, ImageNotFound
from docker.utils import parse_repository_tag

from sandbox_runner.assets import asset_folder
from sandbox_runner.definitions import REPOSITORY
from sandbox_runner.errors import BuildFailed, EngineUnavailable
from sandbox_runner.provision import packages
from sandbox_runner.provision.commands import CommandFailed, run_command
from sandbox_runner.provision.host import Host
from sandbox_runner.provision.progress import Consent, Progress, Report
from sandbox_runner.provision.removal import remove_image
from sandbox_runner.provision.state import load_state, save_state

if TYPE_CHECKING:
    from docker import APIClient

PULLED = "debian:trixie-slim"

_SUITE = "trixie"
_CONNECT = 10  # seconds until the engine must have taken a connection
_SILENCE = 60  # seconds without a word from the engine while it pulls
_IMPORT = 600  # seconds for the engine to take a base image in
_MAKING = 1800  # seconds for making the image; it takes about 20
_TOOLS = ("mmdebstrap", "debian-archive-keyring")
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True, slots=True)
class Base:
    """A base image that the engine has."""

    reference: str
    id: str


def made_tag(repository: str = REPOSITORY) -> str:
    """The tag of a base that was made here."""
    return f"{repository}/debian:{_SUITE}"


def find_base(api: "APIClient", reference: str | None, *, repository: str = REPOSITORY) -> Base | None:
    """``reference``, or else any base of Debian's, where the engine has it already."""
    for each in (reference,) if reference else (made_tag(repository), PULLED):
        try:
            return Base(each, api.inspect_image(each)["Id"])
        except ImageNotFound:
            continue
    return None


def obtain_base(
    api: "APIClient",
    reference: str | None,
    *,
    host: Host,
    folder: Path,
    consent: Consent,
    report: Report,
    repository: str = REPOSITORY,
) -> Base:
    """Pulls ``reference``, or else Debian's image, which is made here where it cannot be pulled.

    What was pulled or installed for it is recorded in ``folder``.
    Raises BuildFailed, whose message says what to do, or EngineUnavailable.
    """
    wanted = reference or PULLED
    why = _pull(api, wanted, report)
    if why is None:
        state = load_state(folder)
        save_state(folder, replace(state, pulled=tuple(dict.fromkeys((*state.pulled, wanted)))))
        _forget_made(api, repository)
        return Base(wanted, api.inspect_image(wanted)["Id"])
    if reference is not None:
        raise BuildFailed(
            f"The base image {reference} is not on the engine and cannot be pulled: {why} "
            "Load it there (docker load), or leave it out: then Debian's is used."
        )
    report(Progress("base", PULLED, f"It cannot be pulled: {why} It is made of Debian packages instead."))
    return make_base(api, host=host, folder=folder, consent=consent, report=report, repository=repository)


def _forget_made(api: "APIClient", repository: str) -> None:
    """One base at a time: with two, the next setup would find the other and build all anew."""
    with suppress(APIError):
        remove_image(api, made_tag(repository))


def _pull(api: "APIClient", reference: str, report: Report) -> str | None:
    """None, or why it could not be pulled."""
    name, tag = parse_repository_tag(reference)
    try:
        with _create(api, {"fromImage": name, "tag": tag or "latest"}, _SILENCE) as response:
            return _follow(response.iter_lines(), reference, report)
    except requests.exceptions.Timeout:
        return f"nothing was heard of it for {_SILENCE} s."
    except requests.exceptions.RequestException as error:
        raise EngineUnavailable(
            f"The engine stopped answering while it pulled {reference} ({error})."
        ) from error


def _create(
    api: "APIClient", parameters: dict[str, str], silence: float, data: IO[bytes] | None = None
) -> requests.Response:
    # The SDK's own pull waits for ever where a registry keeps silent; its import breaks off large files.
    return api.post(
        f"{api.base_url}/v{api.api_version}/images/create",
        params=parameters,
        data=data,
        headers={"Content-Type": "application/x-tar"},
        stream=True,
        timeout=(_CONNECT, silence),
    )


def _follow(lines: Iterator[bytes], reference: str, report: Report) -> str | None:
    """Reports the engine's progress; returns None at its end, or what the engine says went wrong."""
    for line in lines:
        message = json.loads(line)
        why = message.get("error") or message.get("message")
        if why:
            return str(why).rstrip(". \n") + "."
        report(Progress("base", reference, str(message.get("status", ""))))
    return None


def make_base(
    api: "APIClient",
    *,
    host: Host,
    folder: Path,
    consent: Consent,
    report: Report,
    repository: str = REPOSITORY,
) -> Base:
    """Makes Debian's base image with mmdebstrap, installing that where it is allowed, and imports it.

    Raises BuildFailed, whose message says what to do.
    """
    try:
        require_tools(host, folder, consent, report)
        with tempfile.TemporaryDirectory(prefix="sandbox-runner-") as scratch:
            tar = Path(scratch) / "base.tar"
            debootstrap(tar, api.version()["Arch"], report)
            return _import(api, tar, repository, report)
    except CommandFailed as error:
        raise BuildFailed(
            f"Debian's base image could not be made: {error} Correct that, or load {PULLED} onto the "
            "engine yourself, then run: sandbox-runner setup",
            lines=error.lines,
        ) from error


def require_tools(host: Host, folder: Path, consent: Consent, report: Report) -> None:
    """Installs what `debootstrap` needs, where that is allowed. Raises BuildFailed or CommandFailed."""
    if shutil.which("mmdebstrap") and _KEYRING.is_file():
        return
    if not (host.debian and host.root):
        raise BuildFailed(
            f"The base image {PULLED} cannot be pulled, and can be made only by root on Debian or Ubuntu. "
            f"Load it onto the engine from a machine that can pull it (docker save {PULLED}, docker load), "
            "then run: sandbox-runner setup"
        )
    if not consent(f"Install the Debian packages {', '.join(_TOOLS)} with apt-get to make a base image."):
        raise BuildFailed(
            f"No base image: {PULLED} cannot be pulled and making it was declined. "
            "Load it onto the engine, or run: sandbox-runner setup --yes"
        )
    packages.install(_TOOLS, folder=folder, on_line=lambda line: report(Progress("base", "mmdebstrap", line)))


def debootstrap(target: Path, architecture: str, report: Report) -> None:
    """Debian's base at ``target``, a tar where its name ends so, else a folder. Raises CommandFailed."""
    # mmdebstrap copies the host's resolver and name into the image; they are nobody's business there.
    run_command(
        (
            "mmdebstrap",
            "--variant=apt",
            f"--architectures={architecture}",
            f"--keyring={_KEYRING}",
            f"--dpkgopt={asset_folder('images') / 'base' / 'dpkg.cfg'}",
            '--customize-hook=rm -f "$1/etc/resolv.conf" "$1/etc/hostname"',
            _SUITE,
            str(target),
        ),
        on_line=lambda line: report(Progress("base", "debian", line)),
        timeout=_MAKING,
    )


def _import(api: "APIClient", tar: Path, repository: str, report: Report) -> Base:
    tag = made_tag(repository)
    name, _, suite = tag.rpartition(":")
    try:
        with (
            tar.open("rb") as data,
            _create(api, {"fromSrc": "-", "repo": name, "tag": suite}, _IMPORT, data) as response,
        ):
            why = _follow(response.iter_lines(), tag, report)
    except requests.exceptions.RequestException as error:
        raise EngineUnavailable(f"The engine stopped answering while it took {tag} in ({error}).") from error
    if why is not None:
        raise BuildFailed(f"The engine did not take the base image: {why}")
    return Base(tag, api.inspect_image(tag)["Id"])
