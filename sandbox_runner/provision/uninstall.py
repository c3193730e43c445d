"""Removes our images, and what setup pulled, started and installed; nothing else."""

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from docker.errors import APIError, ImageNotFound

from sandbox_runner import definitions
from sandbox_runner.errors import EngineUnavailable
from sandbox_runner.packages import forget_packages, kept_packages
from sandbox_runner.places import session_folder, state_folder
from sandbox_runner.provision import packages
from sandbox_runner.provision.base import made_tag
from sandbox_runner.provision.build import remove_replaced
from sandbox_runner.provision.commands import CommandFailed, run_command
from sandbox_runner.provision.engine_install import Connect, remove_log, stop_daemon
from sandbox_runner.provision.progress import Progress, Report
from sandbox_runner.provision.removal import remove_image
from sandbox_runner.provision.state import SetupState, load_state, save_state
from sandbox_runner.provision.unpack import forget_images

if TYPE_CHECKING:
    from docker import APIClient


def uninstall(
    connect: Connect,
    *,
    folder: Path,
    report: Report,
    repository: str = definitions.REPOSITORY,
) -> tuple[str, ...]:
    """Undoes setup as recorded in ``folder``, and returns what it had to leave, each as a sentence.

    An image that a container uses is left, and so is an engine that by now serves others;
    running it again later takes up what was left. Raises SandboxError where the record cannot be read.
    """
    state = load_state(folder)
    forget_images(folder, repository)
    for kept in kept_packages() if folder == state_folder() else ():
        forget_packages(kept)
    _forget_sessions(session_folder() if folder == state_folder() else folder)
    left: list[str] = []
    try:
        api = connect()
    except EngineUnavailable as error:
        if shutil.which("dockerd"):
            return (f"The images and the Docker engine stay: {error}",)
    else:
        with closing(api):
            left += _remove_images(api, state.pulled, repository, report)
            state = replace(state, pulled=tuple(each for each in state.pulled if api.images(name=each)))
            others = _others(api)
        if others and (state.daemon or state.service or state.packages):
            save_state(folder, state)
            return (*left, f"The Docker engine and what setup installed stay: it has {others} besides.")
    state = _stop(state, folder, left, report)
    state = _remove_packages(state, left, report)
    save_state(folder, state)
    return tuple(left)


def _forget_sessions(folder: Path) -> None:
    shutil.rmtree(folder / "snapshots", ignore_errors=True)
    for history in folder.glob("history-*"):
        history.unlink()


def _remove_images(api: "APIClient", pulled: tuple[str, ...], repository: str, report: Report) -> list[str]:
    remove_replaced(api, definitions.image_names(), report=report)
    left = []
    for tag in (*_with_packages(api, repository), *_our_tags(api, repository), *pulled):
        try:
            remove_image(api, tag)
        except ImageNotFound:
            continue
        except APIError as error:
            left.append(f"The image {tag} stays: {error.explanation}")
        else:
            report(Progress("removal", tag, f"Removed the image {tag}."))
    return left


def _our_tags(api: "APIClient", repository: str) -> list[str]:
    """The tags of our images, also of older versions', each before that of the image it is built on.

    The label alone does not tell: what someone builds on our images inherits it.
    """
    found = api.images(filters={"label": definitions.LABEL_IMAGE})
    tags = {f"{repository}/{image['Labels'][definitions.LABEL_IMAGE]}:latest" for image in found}
    base = f"{repository}/{definitions.BASE}:latest"
    return [*sorted(tags - {base}), base, made_tag(repository)]


def _with_packages(api: "APIClient", repository: str) -> list[str]:
    """The images that have packages on top of ours, whether they are recorded or not."""
    found = api.images(name=f"{repository}/packages", filters={"label": definitions.LABEL_PACKAGES})
    return [tag for image in found for tag in image["RepoTags"] or ()]


def _others(api: "APIClient") -> str:
    """What an engine holds besides ours, in words."""
    counts = {
        "containers": len(api.containers(all=True)),
        "images": len(api.images()),
        "volumes": len(api.volumes()["Volumes"] or ()),
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def _stop(state: SetupState, folder: Path, left: list[str], report: Report) -> SetupState:
    if state.daemon is not None and stop_daemon(state.daemon):
        report(Progress("removal", "docker", "Stopped the Docker engine that setup started."))
    remove_log(folder)
    state = replace(state, daemon=None)
    if not state.service:
        return state
    argv = ("systemctl", "stop", "docker.socket", "docker")
    try:
        run_command(argv, on_line=lambda line: report(Progress("removal", "docker", line)), timeout=120)
    except CommandFailed as error:
        left.append(f"The Docker engine still runs: {error}")
        return state
    return replace(state, service=False)


def _remove_packages(state: SetupState, left: list[str], report: Report) -> SetupState:
    try:
        others = packages.remove(
            state.packages, on_line=lambda line: report(Progress("removal", "packages", line))
        )
    except CommandFailed as error:
        left.append(f"The packages {', '.join(state.packages)} stay: {error}")
        return state
    if others:
        left.append(f"The packages {', '.join(state.packages)} stay: {', '.join(others)} need them by now.")
        return state
    return replace(state, packages=())
