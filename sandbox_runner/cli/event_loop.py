"""The event loop of the commands that stay: uvloop, where it is installed.

It takes a tenth of our own work off each run. A command that runs one program would pay more to load it.
"""

from importlib.util import find_spec


def loop_options() -> dict[str, bool]:
    """What anyio's ``backend_options`` are to be. There is no uvloop for Windows, nor for PyPy."""
    return {"use_uvloop": find_spec("uvloop") is not None}
