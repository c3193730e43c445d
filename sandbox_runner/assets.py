"""Where `images/` and `seccomp/` are: in a wheel within the package, else beside it.

A checkout, an editable install and an unpacked sdist have them next to the package.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def asset_folder(name: str) -> Path:
    """The folder ``name`` (``images`` or ``seccomp``) of this installation.

    Raises FileNotFoundError where the installation lacks it.
    """
    for candidate in (_PACKAGE / "_assets" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"{name}/ is missing from this installation; reinstall sandbox-runner.")
