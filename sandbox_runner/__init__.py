"""Runs untrusted code in sealed, single-use containers.

>>> from sandbox_runner import run
>>> run("print(2**100)").stdout
'1267650600228229401496703205376\\n'

`Runner` is the same for asynchronous programs, with `Runner.stream` for events as they happen;
`RunRequest` and `Limits` say what to run and within what; `errors` holds all that is raised.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sandbox_runner.config import Config
    from sandbox_runner.events import Artifact, Event, Exited, Output, Started, Truncated, Usage
    from sandbox_runner.request import InputFile, Limits, Principal, RunRequest
    from sandbox_runner.result import RunResult
    from sandbox_runner.runner import Runner, run
    from sandbox_runner.running import RunStream
    from sandbox_runner.sessions import Session

_HOMES = {
    "Artifact": "events",
    "Config": "config",
    "Event": "events",
    "Exited": "events",
    "InputFile": "request",
    "Limits": "request",
    "Output": "events",
    "Principal": "request",
    "RunRequest": "request",
    "RunResult": "result",
    "RunStream": "running",
    "Runner": "runner",
    "Session": "sessions",
    "Started": "events",
    "Truncated": "events",
    "Usage": "events",
    "run": "runner",
}

__all__ = [
    "Artifact",
    "Config",
    "Event",
    "Exited",
    "InputFile",
    "Limits",
    "Output",
    "Principal",
    "RunRequest",
    "RunResult",
    "RunStream",
    "Runner",
    "Session",
    "Started",
    "Truncated",
    "Usage",
    "run",
]


def __getattr__(name: str) -> object:
    # Loaded when asked for: the engine's SDK and pydantic take ten times as long as the rest.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
