"""What to say about a run that met a limit: which, its value, how to raise it."""

from collections.abc import Callable, Iterator

from sandbox_runner.config import Config, format_setting
from sandbox_runner.events import Exited
from sandbox_runner.result import RunResult
from sandbox_runner.spec import ResolvedLimits

_STATUS_LIMITS = {
    "timed_out": ("wall_time", "timed out after {value} s"),
    "cpu_limit": ("cpu_time", "ended after {value} s of CPU time"),
    "out_of_memory": ("memory", "ran out of its {value} of memory"),
    "output_limit": ("output", "ended after {value} of output"),
}
_COMPILER = {"wall_time": "compile_time", "memory": "compile_memory"}
_MET = {
    "memory": "a process was killed at the memory limit of {value}",
    "pids": "no process could be started at the pids limit of {value}",
    "workspace": "/workspace, of {value}, was full",
    "tmp": "/tmp, of {value}, was full",  # noqa: S108 - the container's
}

Raising = Callable[[str], str]
"""How a caller raises the limit of that name, such as ``raise it with --memory``."""


def limit_notes(
    result: RunResult, limits: ResolvedLimits, config: Config, *, raising: Raising, again: str
) -> Iterator[str]:
    """A sentence for each limit that the run met, and for an end that was not the program's own.

    ``again`` says how to run it once more and look for the cause.
    """
    compiled = result.compile if result.status == "compile_failed" else None
    if compiled is not None:
        yield from _compiler_notes(compiled, limits, config, raising)
        return
    limit, sentence = _STATUS_LIMITS.get(result.status, ("", ""))
    if limit:
        yield _advice(sentence, limit, getattr(limits, limit), config, raising)
    elif result.status == "cancelled":
        yield "cancelled; its container was removed."
    elif result.reason:
        yield f"the run ended early ({result.reason}); {again}"
    for name, count in result.limits_hit.items():
        if name != limit:
            sentence = _MET.get(name, f"the limit {name} was met") + (
                f" ({count} times)" if count > 1 else ""
            )
            yield _advice(sentence, name, getattr(limits, name, None), config, raising)


def _compiler_notes(
    compiled: Exited, limits: ResolvedLimits, config: Config, raising: Raising
) -> Iterator[str]:
    limit, sentence = _STATUS_LIMITS.get(compiled.status, ("", "failed; nothing was run"))
    if limit:
        name = _COMPILER.get(limit, limit)
        yield _advice(f"the compiler {sentence}", name, getattr(limits, name, None), config, raising)
    else:
        yield f"the compiler {sentence}."
    for met in compiled.limits_hit.keys() - {limit}:
        name = _COMPILER.get(met, met)
        sentence = _MET.get(met, f"the limit {met} was met")
        yield _advice(f"while it compiled, {sentence}", name, getattr(limits, name, None), config, raising)


def _advice(sentence: str, name: str, value: float | None, config: Config, raising: Raising) -> str:
    if value is None:
        return sentence + "."
    ceiling = getattr(config, f"max_{name}")
    told = sentence.format(value=format_setting(name, value))
    if value >= ceiling:
        return f"{told}, which is the ceiling; the operator can raise max_{name}."
    return f"{told}; {raising(name)} (ceiling max_{name} {format_setting(f'max_{name}', ceiling)})."
