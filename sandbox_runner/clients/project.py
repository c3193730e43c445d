"""What ``pyproject.toml`` of the checkout says about the project; nothing repeats it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from sandbox_runner.errors import InvalidRequest

_CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Project:
    """Name, words and needs of the project, and the ``folder`` of its checkout."""

    folder: Path
    name: str
    description: str
    license: str
    keywords: tuple[str, ...]
    requires_python: str
    dependencies: tuple[str, ...]


def this_project() -> Project:
    """Raises InvalidRequest where this is no checkout: releases are made from one."""
    try:
        said = tomllib.loads((_CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    except FileNotFoundError:
        raise InvalidRequest(
            f"{_CHECKOUT} is not a checkout of sandbox-runner; a bundle is made from one."
        ) from None
    return Project(
        folder=_CHECKOUT,
        name=said["name"],
        description=said["description"],
        license=said["license"],
        keywords=tuple(said["keywords"]),
        requires_python=said["requires-python"],
        dependencies=tuple(said["dependencies"]),
    )
