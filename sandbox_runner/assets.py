"""Where `images/` and `seccomp/` are: in a wheel within the package, else beside it.

A checkout, an editable install and an unpacked sdist have them next to the package. An operator may add
images in a folder `images` of their own configuration's folder, or of the machine's.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from sandbox_runner.places import SYSTEM_CONFIG, config_folder

_PACKAGE = Path(__file__).parent


def asset_folder(name: str) -> Path:
    """The folder ``name`` (``images`` or ``seccomp``) of this installation.

    Raises FileNotFoundError where the installation lacks it.
    """
    for candidate in (_PACKAGE / "_assets" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"{name}/ is missing from this installation; reinstall sandbox-runner.")


def image_folders() -> Iterator[Path]:
    """The folder of each image or language: this installation's own, then those that were added.

    Raises FileNotFoundError where the installation lacks its own.
    """
    roots = [asset_folder("images")]
    added = config_folder(os.environ)
    roots += [folder / "images" for folder in (added, SYSTEM_CONFIG) if folder is not None]
    for root in roots:
        yield from sorted(path for path in root.glob("*") if path.is_dir())
