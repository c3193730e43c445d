"""What an ``.mcpb`` bundle starts: the server on stdio.

The bundle has it as ``src/server.py`` beside the package. It gets the limits that its user chose as
variables.
"""

import os
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path

_NOT_CHOSEN = "${user_config."


def server_environment(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The server's variables: no placeholders, which some clients leave where the user chose nothing.

    The package is in ``folder`` and not installed; what the server starts finds it there.
    """
    chosen = {name: value for name, value in environ.items() if not value.startswith(_NOT_CHOSEN)}
    paths = [str(folder), *filter(None, [chosen.get("PYTHONPATH")])]
    return {**chosen, "PYTHONPATH": os.pathsep.join(paths)}


if __name__ == "__main__":
    environment = server_environment(os.environ, Path(__file__).resolve().parent)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = ["stdio"]
    runpy.run_module("sandbox_runner", run_name="__main__", alter_sys=True)
