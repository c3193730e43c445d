"""`python -m sandbox_runner.clients FOLDER` writes what a release publishes for MCP clients.

That is ``sandbox-runner-VERSION.mcpb``, a bundle to install from, and ``server.json``, for the registry.
"""

import argparse
import json
from pathlib import Path

from sandbox_runner import __version__
from sandbox_runner.clients.bundle import write_bundle
from sandbox_runner.clients.project import this_project
from sandbox_runner.clients.registry import server_document


def main() -> None:
    """Writes both files; the folder is made where it is missing. Raises InvalidRequest and OSError."""
    parser = argparse.ArgumentParser(prog="python -m sandbox_runner.clients", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the files are written, such as dist")
    folder: Path = parser.parse_args().folder
    project = this_project()
    folder.mkdir(parents=True, exist_ok=True)
    write_bundle(folder / f"{project.name}-{__version__}.mcpb", project)
    text = json.dumps(server_document(project), indent=2) + "\n"
    (folder / "server.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
