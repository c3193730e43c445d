"""Removing root filesystems that nothing means and nothing uses any more."""

import shutil
from pathlib import Path

from sandbox_runner.engines.oci.bundles import find_bundles
from sandbox_runner.engines.oci.making import clear_abandoned
from sandbox_runner.engines.oci.store import images_folder, named_images


def remove_unnamed() -> None:
    """Removes the root filesystems that no name means any more and no container uses, and unfinished ones."""
    clear_abandoned()
    configs = (bundle.config() for bundle in find_bundles())
    used = {Path(config["root"]["path"]).parent.name for config in configs if config}
    named = {image_id.removeprefix("sha256:") for image_id in named_images()}
    for folder in images_folder().glob("*/"):
        # One that begins with a point is being made, perhaps by another setup.
        if not folder.name.startswith(".") and folder.name not in used | named:
            shutil.rmtree(folder)
