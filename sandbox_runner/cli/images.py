"""`sandbox-runner images`: which are there, and whether this version can use them."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sandbox_runner.cli.engine import connected
from sandbox_runner.cli.parsing import add_settings
from sandbox_runner.cli.table import emit_table
from sandbox_runner.definitions import image_names, image_tag, is_current

if TYPE_CHECKING:
    from docker import APIClient

EXAMPLES = """\
sandbox-runner images
sandbox-runner images --size"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `images`."""
    parser.add_argument(
        "--size", action="store_true", help="show their sizes; what images share is counted in each"
    )
    add_settings(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Lists the images of this installation; what is not `built` needs `sandbox-runner setup`."""
    with connected(arguments) as client:
        found = {name: _inspect(client, image_tag(name)) for name in image_names()}
    headings = ["IMAGE", "STATUS", "ID", *(["SIZE"] if arguments.size else [])]
    emit_table(headings, [_row(name, image)[: len(headings)] for name, image in found.items()])
    return 0


def _inspect(client: "APIClient", tag: str | None) -> Mapping[str, Any] | None:
    from docker.errors import ImageNotFound  # noqa: PLC0415 - loads the SDK

    try:
        image: Mapping[str, Any] = client.inspect_image(tag)
    except ImageNotFound:
        return None
    return image


def _row(name: str, image: Mapping[str, Any] | None) -> tuple[str, ...]:
    if image is None:
        return name, "missing: sandbox-runner setup", "-", "-"
    labels = (image.get("Config") or {}).get("Labels") or {}
    status = "built" if is_current(labels) else "older than this version: sandbox-runner setup"
    return name, status, image["Id"].removeprefix("sha256:")[:12], f"{image['Size'] / (1 << 20):.0f} MiB"
