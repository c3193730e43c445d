"""What `run` says on stderr about a run that met a limit."""

from collections.abc import Iterator

from sandbox_runner.config import Config
from sandbox_runner.notes import limit_notes
from sandbox_runner.result import RunResult
from sandbox_runner.spec import ResolvedLimits

_FLAGS = {
    "wall_time": "--timeout",
    "cpu_time": "--cpu-time",
    "memory": "--memory",
    "cpus": "--cpus",
    "pids": "--pids",
}
_AGAIN = "run it again; if it stays so: sandbox-runner doctor"


def notes(result: RunResult, limits: ResolvedLimits, config: Config) -> Iterator[str]:
    """A sentence for each limit that the run met, and for an end that was not the program's own."""
    return limit_notes(result, limits, config, raising=_raising, again=_AGAIN)


def _raising(name: str) -> str:
    return f"raise it with {_FLAGS.get(name, f'--set {name}=SIZE')}"
