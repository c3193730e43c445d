"""Builds images by the engine's own builder, from definitions that are sent to it."""

import io
import os
import re
import tarfile
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import docker
import requests.exceptions
from docker.errors import APIError, ImageNotFound

from sandbox_runner import definitions
from sandbox_runner.engines.choice import DOCKER
from sandbox_runner.errors import BuildFailed, EngineUnavailable
from sandbox_runner.packages import forget_packages, kept_packages
from sandbox_runner.provision.base import Base
from sandbox_runner.provision.commands import LAST_LINES
from sandbox_runner.provision.progress import Progress, Report
from sandbox_runner.provision.removal import remove_image

SILENCE = 900  # seconds without a word from the builder before it is given up

_STEP = re.compile(r"Step (\d+)/(\d+) : ")
_LAYER = re.compile(r" ---> ([0-9a-f]{12,64})\s*")
_STATUS = re.compile(r"returned a non-zero code: (\d+)")
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy")
_FULL = re.compile(r"no space left on device|not enough free space|disk quota exceeded", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """An image to be: its tag, the reference of the image it is built on, the files sent, its labels."""

    name: str
    tag: str
    parent: str
    files: Mapping[str, bytes]
    labels: Mapping[str, str]


def our_build(name: str, *, parent: Base | None, repository: str = definitions.REPOSITORY) -> Build:
    """How this version builds its image ``name`` on ``parent``; None where that is not known.

    Raises FileNotFoundError where there is no such image in this installation.
    """
    files = dict(definitions.image_files(name))
    labels = definitions.identity(name)
    files |= {f"agent/{path}": data for path, data in definitions.agent_files(name).items()}
    if parent is not None:
        labels[definitions.LABEL_PARENT] = parent.id
    return Build(
        name=name,
        tag=f"{repository}/{name}:latest",
        parent=parent.reference if parent else "",
        files=files,
        labels=labels,
    )


def current_id(api: docker.APIClient, tag: str, labels: Mapping[str, str]) -> str | None:
    """The id of the image ``tag``, where the engine has it with at least these ``labels``."""
    try:
        image = api.inspect_image(tag)
    except ImageNotFound:
        return None
    present = image["Config"].get("Labels") or {}
    return str(image["Id"]) if present.items() >= labels.items() else None


def build_image(api: docker.APIClient, build: Build, *, report: Report, fresh: bool = False) -> str:
    """Builds the image, moves its tag to it, and returns its id.

    ``fresh`` uses nothing of earlier builds, so that packages come in their newest versions.
    Raises BuildFailed with the last lines of the installer, or EngineUnavailable.
    """
    lines: deque[str] = deque(maxlen=LAST_LINES)
    layers: list[str] = []
    try:
        for text in _follow(_start(api, build, fresh), build.name, report):
            lines.append(text)
            layers += _LAYER.findall(text)
    except (APIError, _BuilderSaid) as error:
        _remove_unfinished(api, layers)
        raise _failure(build, str(error), tuple(lines)) from None
    except requests.exceptions.RequestException as error:
        raise EngineUnavailable(
            f"The engine stopped answering while it built {build.name} ({error}). Run setup again."
        ) from error
    return str(api.inspect_image(build.tag)["Id"])


class _BuilderSaid(Exception):
    """The builder ended with an error."""


def _start(api: docker.APIClient, build: Build, fresh: bool) -> Iterator[dict[str, Any]]:
    arguments = {"BASE": build.parent, **_proxies()}
    stream: Iterator[dict[str, Any]] = api.build(
        fileobj=io.BytesIO(_context(build.files)),
        custom_context=True,
        tag=build.tag,
        labels=dict(build.labels),
        buildargs=arguments,
        nocache=fresh,
        rm=True,
        forcerm=True,
        decode=True,
        timeout=SILENCE,
    )
    return stream


def _proxies() -> dict[str, str]:
    """The predefined build arguments: used during the build, never part of the image."""
    return {
        name: value for each in _PROXIES for name in (each, each.upper()) if (value := os.environ.get(name))
    }


def _context(files: Mapping[str, bytes]) -> bytes:
    """A tar of ``files`` that depends on nothing else, so that the builder finds its earlier layers."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, data in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _follow(stream: Iterator[dict[str, Any]], name: str, report: Report) -> Iterator[str]:
    done = total = 0
    for message in stream:
        if "error" in message:
            raise _BuilderSaid(message["error"])
        for text in str(message.get("stream") or message.get("status") or "").splitlines():
            if step := _STEP.match(text):
                done, total = int(step[1]) - 1, int(step[2])
            if text.strip():
                report(Progress("image", name, text.strip(), done, total))
                yield text.rstrip()


def _failure(build: Build, error: str, lines: tuple[str, ...]) -> BuildFailed:
    if _FULL.search(error) or any(_FULL.search(line) for line in lines):
        return BuildFailed(
            f"The engine's disk is full: the image {build.name} could not be built. Make room "
            "(`docker system df` shows what takes it), then run `sandbox-runner setup` again.",
            lines=lines,
        )
    status = _STATUS.search(error)
    why = f"a step ended with status {status[1]}." if status else error.strip()
    return BuildFailed(f"The image {build.name} could not be built: {why}", lines=lines)


def _remove_unfinished(api: docker.APIClient, layers: list[str]) -> None:
    """Removes what a failed build left, unless another image is built on it."""
    for layer in layers[-1:]:
        try:
            remove_image(api, layer)
        except APIError:
            return


def remove_replaced(api: docker.APIClient, names: tuple[str, ...], *, report: Report) -> None:
    """Removes the images of these ``names`` that newer builds took the tag from.

    One that a container still uses stays; the next call finds it again.
    """
    for name in names:
        for image in _untagged(api, name):
            try:
                _remove_with_packages(api, image)
                remove_image(api, image)
            except APIError as error:
                report(Progress("removal", name, f"An older {name} stays for now: {error.explanation}"))
            else:
                report(Progress("removal", name, f"Removed the older {name}."))


def _remove_with_packages(api: docker.APIClient, base: str) -> None:
    """Removes what has packages on top of the image ``base``: nobody asks for it any more."""
    for kept in kept_packages():
        if (kept.engine, kept.base) == (DOCKER, base):
            with suppress(ImageNotFound):
                api.remove_image(kept.image)
            forget_packages(kept)


def _untagged(api: docker.APIClient, name: str) -> list[str]:
    found = api.images(filters={"dangling": True, "label": f"{definitions.LABEL_IMAGE}={name}"})
    return [image["Id"] for image in found if _labelled_last(api, image["Id"])]


def _labelled_last(api: docker.APIClient, image: str) -> bool:
    """Whether the last of its own labels is the last thing that was added to it.

    Labels are inherited: a step of a build in progress, or an image that someone builds on
    ours, has them too, and is not ours to remove. The builder adds them in their order.
    """
    history = api.history(image)
    return bool(history) and definitions.LABEL_PARENT in history[0].get("CreatedBy", "")
