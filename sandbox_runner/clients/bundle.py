"""The ``.mcpb`` bundle: this version with a manifest, for clients that install a server from a file.

Manifest 0.4 of MCP Bundles, server type uv: the client brings uv, and uv brings Python and the packages
that ``pyproject.toml`` names. The code itself is in the bundle.
"""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandbox_runner import __version__
from sandbox_runner.assets import asset_folder
from sandbox_runner.clients.offered import Offer, offers
from sandbox_runner.clients.project import Project

_PACKAGE = Path(__file__).parents[1]
_ENTRY = "src/server.py"
_LEFT_OUT = {"__pycache__", "_assets"}  # the assets go beside the package, as in a checkout
_MOMENT = (1980, 1, 1, 0, 0, 0)  # the same files make the same bundle


def manifest(project: Project) -> dict[str, Any]:
    """The bundle's ``manifest.json``."""
    offered = offers()
    return {
        "manifest_version": "0.4",
        "name": project.name,
        "display_name": "Sandbox Runner",
        "version": __version__,
        "description": project.description,
        "author": {"name": "The sandbox-runner authors"},
        "server": {
            "type": "uv",
            "entry_point": _ENTRY,
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--directory", "${__dirname}", _ENTRY],
                "env": {offer.variable: f"${{user_config.{name}}}" for name, offer in offered.items()},
            },
        },
        "tools_generated": True,
        "keywords": list(project.keywords),
        "license": project.license,
        "compatibility": {
            "platforms": ["darwin", "linux", "win32"],
            "runtimes": {"python": project.requires_python},
        },
        "user_config": {name: _option(offer) for name, offer in offered.items()},
    }


def write_bundle(path: Path, project: Project) -> None:
    """Writes the bundle to ``path``. Raises OSError."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in _contents(project):
            entry = zipfile.ZipInfo(name, _MOMENT)
            entry.external_attr = 0o644 << 16
            bundle.writestr(entry, data, zipfile.ZIP_DEFLATED)


def _option(offer: Offer) -> dict[str, Any]:
    option: dict[str, Any] = {
        "type": "number" if offer.is_number else "string",
        "title": offer.title,
        "description": offer.description,
        "required": False,
    }
    if offer.default is not None:
        option["default"] = float(offer.default) if offer.is_number else offer.default
    return option


def _contents(project: Project) -> Iterator[tuple[str, bytes]]:
    yield "manifest.json", (json.dumps(manifest(project), indent=2) + "\n").encode()
    yield "pyproject.toml", _pyproject(project).encode()
    yield "LICENSE", (project.folder / "LICENSE").read_bytes()
    yield "README.md", (project.folder / "README.md").read_bytes()
    yield _ENTRY, Path(__file__).with_name("bundled_server.py").read_bytes()
    folders = {
        "sandbox_runner": _PACKAGE,
        "images": asset_folder("images"),
        "seccomp": asset_folder("seccomp"),
    }
    for name, folder in folders.items():
        for file in sorted(folder.rglob("*")):
            within = file.relative_to(folder)
            if file.is_file() and not _LEFT_OUT & set(within.parts):
                yield f"src/{name}/{within.as_posix()}", file.read_bytes()


def _pyproject(project: Project) -> str:
    """Names what uv installs. Without a build system uv builds nothing: the code runs from where it is."""
    lines = [f"    {json.dumps(each)}," for each in project.dependencies]
    return "\n".join(
        [
            "[project]",
            f'name = "{project.name}-bundle"',
            f'version = "{__version__}"',
            f'requires-python = "{project.requires_python}"',
            "dependencies = [",
            *lines,
            "]",
            "",
        ]
    )
