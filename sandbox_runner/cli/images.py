"""`sandbox-runner images`: which are there, and whether this version can use them."""

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sandbox_runner.cli.engine import connected
from sandbox_runner.cli.exits import emit
from sandbox_runner.cli.parsing import add_settings, settings
from sandbox_runner.cli.table import emit_table
from sandbox_runner.config import load_config
from sandbox_runner.definitions import has_agent, image_names, image_tag, is_current
from sandbox_runner.engines.choice import names_docker
from sandbox_runner.errors import EngineUnavailable, ImageNotFound
from sandbox_runner.languages import setup_command

if TYPE_CHECKING:
    from docker import APIClient

EXAMPLES = """\
sandbox-runner images
sandbox-runner images --size
sandbox-runner images --engine oci
sudo sandbox-runner images --remove debian:stable"""

BUILT = "built"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `images`."""
    parser.add_argument(
        "--size", action="store_true", help="show their sizes; what images share is counted in each"
    )
    parser.add_argument("--engine", metavar="E", help="the container engine: auto, docker or oci")
    parser.add_argument(
        "--remove", metavar="NAME", help="remove an image that 'setup --engine oci --image' brought in"
    )
    add_settings(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Lists the images of this installation; what is not `built` needs `sandbox-runner setup`."""
    if arguments.remove is not None:
        return _remove(arguments.remove)
    rows = image_rows(arguments)
    headings = ["IMAGE", "STATUS", "ID", *(["SIZE"] if arguments.size else [])]
    emit_table(headings, [row[: len(headings)] for row in rows])
    return 0


def _remove(name: str) -> int:
    from sandbox_runner.engines.oci.engine import require_usable  # noqa: PLC0415 - with those that need it
    from sandbox_runner.provision.foreign import remove_foreign  # noqa: PLC0415 - as above

    require_usable()
    if not remove_foreign(name):
        raise ImageNotFound(
            f"No image called {name!r} was brought in; see 'sandbox-runner images --engine oci'."
        )
    emit(f"Removed {name}.")
    return 0


def image_rows(arguments: argparse.Namespace) -> list[tuple[str, ...]]:
    """Name, status, id and size of each image, with the flags --engine and the settings.

    As runs would find them: on a Docker engine, or with ``auto`` and none in the embedded one's store.
    Raises ConfigError or EngineError.
    """
    flags = settings(arguments) | ({"engine": arguments.engine} if arguments.engine else {})
    config = load_config(flags=flags).config
    if config.engine == "oci":
        return _stored()
    try:
        with connected(arguments) as client:
            return [_row(name, _inspect(client, image_tag(name))) for name in image_names()]
    except EngineUnavailable:
        if config.engine == "docker" or names_docker(config.docker_host) or not _has_store():
            raise
        return _stored()


def _has_store() -> bool:
    from sandbox_runner.engines.oci.store import images_folder  # noqa: PLC0415 - with those that need it

    return os.name == "posix" and os.geteuid() == 0 and images_folder().is_dir()


def _stored() -> list[tuple[str, ...]]:
    from sandbox_runner.engines.oci.engine import require_usable  # noqa: PLC0415 - with those that need it
    from sandbox_runner.engines.oci.store import find_stored, foreign_images  # noqa: PLC0415 - as above

    require_usable()
    rows = []
    for name in filter(has_agent, image_names()):
        stored = find_stored(name)
        if stored is None:
            rows.append((name, "missing: sandbox-runner setup --engine oci", "-", "-"))
        else:
            rows.append((name, _status(stored.labels, " --engine oci"), _short(stored.id), "-"))
    return [
        *rows,
        *((each.name, "brought in", _short(each.id), _size(each.size)) for each in foreign_images()),
    ]


def _inspect(client: "APIClient", tag: str | None) -> Mapping[str, Any] | None:
    from docker.errors import ImageNotFound  # noqa: PLC0415 - loads the SDK

    try:
        image: Mapping[str, Any] = client.inspect_image(tag)
    except ImageNotFound:
        return None
    return image


def _row(name: str, image: Mapping[str, Any] | None) -> tuple[str, ...]:
    if image is None:
        return name, f"missing: {setup_command(name)}", "-", "-"
    labels = (image.get("Config") or {}).get("Labels") or {}
    return name, _status(labels, ""), _short(image["Id"]), _size(image["Size"])


def _status(labels: Mapping[str, str], options: str) -> str:
    return BUILT if is_current(labels) else f"older than this version: sandbox-runner setup{options}"


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]


def _size(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"
