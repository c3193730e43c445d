"""How a run ended, and what it left."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sandbox_runner.displays import Display, parse_displays
from sandbox_runner.events import STREAMS, Artifact, Exited, Output, Status, Stream, Usage
from sandbox_runner.output import Capture, Captured


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The outcome of a run that took place; a program that failed is one too.

    ``status`` says how it ended. With ``exited`` there is an ``exit_code``, with ``signaled``
    a ``signal``; the other statuses have neither. ``limits_hit`` names each limit that was
    met, with its count, also where the program went on and exited. ``usage`` is in seconds
    and bytes. ``artifacts`` are the files given back, in the order of their names, the shorter ones
    first; ``artifacts_omitted`` counts what matched but is no regular file, did not fit the caps, or could
    not be read or written, and as one each folder that may hold such files and is below 31 others, or
    barred, and all of a workspace that is beyond its first 32767 entries. ``value`` is what the program gave
    back on its value channel, unchecked.

    ``displays`` are what a run with ``display`` showed, in order: of each its forms by MIME type, text as
    it is and binary data in base64. ``displays_omitted`` counts those that were none, or too many.

    ``compile`` is how the compiler ended, in a language that has one. Where that was not with 0 the status
    is ``compile_failed``, there was no program, and `compiler` says why.

    ``state_lost`` is for sessions: the variables of this run's context are gone.
    """

    run_id: str
    status: Status
    exit_code: int | None
    signal: int | None
    reason: str
    captured: Mapping[Stream, Captured]
    usage: Usage
    limits_hit: Mapping[str, int] = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()
    artifacts_omitted: int = 0
    value: bytes | None = None
    displays: tuple[Display, ...] = ()
    displays_omitted: int = 0
    compile: Exited | None = None
    state_lost: bool = False

    @property
    def stdout(self) -> str:
        """Standard output as text; a line in it counts the bytes that were cut."""
        return self.captured["stdout"].text

    @property
    def stderr(self) -> str:
        """Standard error as text; a line in it counts the bytes that were cut."""
        return self.captured["stderr"].text

    @property
    def compiler(self) -> str:
        """The compiler's output as text, as stdout is; empty where it said nothing, or there is none."""
        return self.captured["compiler"].text

    @property
    def truncated(self) -> dict[Stream, int]:
        """Bytes cut from each stream that lost some."""
        return {stream: kept.cut for stream, kept in self.captured.items() if kept.cut}

    @property
    def ok(self) -> bool:
        """The program exited with 0."""
        return self.status == "exited" and self.exit_code == 0

    def as_dict(self) -> dict[str, Any]:
        """The result in JSON's types: of each artifact its digest, and the value not at all."""
        return {
            "run_id": self.run_id,
            "status": self.status,
            "exit_code": self.exit_code,
            "signal": self.signal,
            "reason": self.reason,
            "state_lost": self.state_lost,
            "stdout": self.stdout,
            "stderr": self.stderr,
            "truncated": dict(self.truncated),
            "limits_hit": dict(self.limits_hit),
            "usage": asdict(self.usage),
            "artifacts": [_described(artifact) for artifact in self.artifacts],
            "artifacts_omitted": self.artifacts_omitted,
            "displays": [dict(display) for display in self.displays],
            "displays_omitted": self.displays_omitted,
            "compile": None if self.compile is None else _stage(self.compile, self.compiler),
        }


def _stage(exited: Exited, output: str) -> dict[str, Any]:
    return {
        "status": exited.status,
        "exit_code": exited.exit_code,
        "signal": exited.signal,
        "output": output,
        "limits_hit": dict(exited.limits_hit),
        "usage": asdict(exited.usage),
    }


def _described(artifact: Artifact) -> dict[str, Any]:
    return {
        "path": artifact.path,
        "size": artifact.size,
        "type": artifact.type,
        "sha256": artifact.sha256,
        "executable": artifact.executable,
        "file": None if artifact.file is None else str(artifact.file),
    }


class Collector:
    """Gathers a run's output and artifacts for its result, in bounded memory."""

    def __init__(self, run_id: str, *, capture: int, displays: bool = False) -> None:
        self._run_id = run_id
        self._displays = displays
        self._captures: dict[Stream, Capture] = {stream: Capture(capture) for stream in STREAMS}
        self.artifacts: list[Artifact] = []

    def add(self, output: Output) -> None:
        self._captures[output.stream].add(output.data)

    def result(self, exited: Exited) -> RunResult:
        shown, omitted = parse_displays(exited.value or b"") if self._displays else ((), 0)
        return RunResult(
            run_id=self._run_id,
            status=exited.status,
            exit_code=exited.exit_code,
            signal=exited.signal,
            reason=exited.reason,
            captured={stream: capture.captured() for stream, capture in self._captures.items()},
            usage=exited.usage,
            limits_hit=exited.limits_hit,
            artifacts=tuple(self.artifacts),
            artifacts_omitted=exited.artifacts_omitted,
            value=None if self._displays else exited.value,
            displays=shown,
            displays_omitted=omitted,
            compile=exited.compile,
            state_lost=exited.state_lost,
        )
