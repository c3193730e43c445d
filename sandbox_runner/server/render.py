"""A run as an answer: one report, said twice, as text and as structured content; each is enough alone."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from mcp_types import CallToolResult, ContentBlock, TextContent

from sandbox_runner.agent.protocol import MAX_ENTRIES
from sandbox_runner.config import Config
from sandbox_runner.errors import Busy, RequestRejected, SandboxError
from sandbox_runner.events import Stream
from sandbox_runner.output import Captured
from sandbox_runner.result import RunResult
from sandbox_runner.server.advice import notes
from sandbox_runner.server.attached import attach, file_lines
from sandbox_runner.server.reports import CompileReport, Cut, FunctionReport, Report, RunReport, RunUsage
from sandbox_runner.server.runs import Run
from sandbox_runner.server.shown import display_lines, show
from sandbox_runner.server.text import neutral
from sandbox_runner.server.values import decode_value

_NOT_ERRORS = ("exited", "signaled", "compile_failed", "queued", "installing", "running")
_MARKER = "\n[… {cut} bytes are not shown: read_output(run_id, stream={stream!r}, offset={offset}) …]\n"


def answer(run: Run, config: Config, *, function: bool = False) -> CallToolResult:
    """The answer of a run that is over, or goes on in the background."""
    if run.result is None:
        if run.error is not None:
            return refusal(run.error, run_id=run.run_id, function=function)
        return rendered(_report(function, status=run.status, run_id=run.run_id, notes=[_where(run)]))
    return rendered(*ending(run, run.result, config, function=function))


def rendered(report: RunReport, blocks: Sequence[ContentBlock] = ()) -> CallToolResult:
    """``report`` as text and as structured content, with what is attached."""
    return CallToolResult(
        content=[TextContent(text="\n".join(_lines(report))), *blocks],
        structured_content=report.model_dump(mode="json"),
        is_error=report.status not in _NOT_ERRORS,
    )


def page(report: Report, text: str, blocks: Sequence[ContentBlock] = ()) -> CallToolResult:
    """Any other report with its text and what is attached."""
    content: list[ContentBlock] = [TextContent(text=text), *blocks]
    return CallToolResult(content=content, structured_content=report.model_dump(mode="json"))


def refusal(error: SandboxError, *, run_id: str | None = None, function: bool = False) -> CallToolResult:
    """Why a run did not take place."""
    status, delay = _why(error)
    return rendered(
        _report(function, status=status, run_id=run_id, notes=[neutral(str(error))], retry_after_s=delay)
    )


def refused(kind: type[Report], error: SandboxError) -> CallToolResult:
    """Why a tool that answers with ``kind`` did nothing, in that shape."""
    status, delay = _why(error)
    told: dict[str, Any] = {"notes": [neutral(str(error))], "status": status, "retry_after_s": delay}
    fields = {name: value for name, value in told.items() if name in kind.model_fields}
    retry = "" if delay is None else f" retry in {delay:.0f} s"
    result = page(kind(**fields), f"{status}{retry}\nNote: {fields['notes'][0]}")
    return result.model_copy(update={"is_error": True})


def _why(error: SandboxError) -> tuple[str, float | None]:
    """The status of what was not done for ``error``, and the delay after which it may be."""
    if isinstance(error, Busy):
        return "busy", error.retry_after
    return ("refused" if isinstance(error, RequestRejected) else "failed"), None


def _report(function: bool, **fields: Any) -> RunReport:  # noqa: ANN401 - the report checks its fields
    return (FunctionReport if function else RunReport)(**fields)


def _where(run: Run) -> str:
    if run.status == "cancelled":
        return "Cancelled; its container was removed. read_output reads what it printed before."
    return f"It runs in the background: read_output(run_id={run.run_id!r}, wait_s=30) reads and waits."


def ending(
    run: Run, result: RunResult, config: Config, *, function: bool = False
) -> tuple[RunReport, Sequence[ContentBlock]]:
    """The report of a run that is over, and what is attached to it."""
    attached = attach(run.run_id, run.record.attached, text=config.shown_output)
    said = notes(run, result, config)
    if result.artifacts_omitted:
        said.append(
            f"Files left out as too large, too many, too deep, beyond {MAX_ENTRIES - 1} entries, or no plain "
            f"files: {result.artifacts_omitted}."
        )
    shown = show(run.run_id, result.displays, text=config.shown_output)
    omitted = shown.omitted + result.displays_omitted
    if omitted:
        said.append(f"Displays left out as too many, or not what they should be: {omitted}.")
    fields: dict[str, Any] = {}
    if function:
        fields = _value(result, said)
    texts, cuts = _outputs(result)
    report = _report(
        function,
        status=result.status,
        exit_code=result.exit_code,
        signal=result.signal,
        run_id=run.run_id,
        notes=said,
        **texts,
        truncated=cuts,
        limits_hit=dict(result.limits_hit),
        usage=_usage(result),
        compile=_compiled(result),
        figures=[*shown.figures, *attached.figures],
        files=attached.files,
        displays=shown.displays,
        state_lost=result.state_lost,
        **fields,
    )
    return report, [*shown.blocks, *attached.blocks]


def _value(result: RunResult, said: list[str]) -> dict[str, Any]:
    if result.value is None:
        if result.ok:
            said.append("The function returned nothing: it ended the program itself.")
        return {}
    returned = decode_value(result.value)
    if returned.problem:
        said.append(returned.problem)
        return {}
    return {"value": returned.value, "returned": True}


def _usage(result: RunResult) -> RunUsage:
    usage = result.usage
    return RunUsage(
        wall_time_s=round(usage.wall_time, 4),
        cpu_time_s=None if usage.cpu_time is None else round(usage.cpu_time, 4),
        peak_memory_bytes=usage.peak_memory,
        stdout_bytes=usage.stdout_bytes,
        stderr_bytes=usage.stderr_bytes,
    )


def _compiled(result: RunResult) -> CompileReport | None:
    ended = result.compile
    if ended is None:
        return None
    return CompileReport(
        status=ended.status,
        exit_code=ended.exit_code,
        signal=ended.signal,
        wall_time_s=round(ended.usage.wall_time, 4),
        peak_memory_bytes=ended.usage.peak_memory,
    )


def _outputs(result: RunResult) -> tuple[dict[str, str], dict[Stream, Cut]]:
    texts: dict[str, str] = {}
    cuts: dict[Stream, Cut] = {}
    for stream, captured in result.captured.items():
        texts[stream] = _shown(stream, captured)
        if captured.cut:
            cuts[stream] = Cut(
                total_bytes=captured.total,
                shown_bytes=captured.total - captured.cut,
                next_offset=len(captured.head),
            )
    return texts, cuts


def _shown(stream: Stream, captured: Captured) -> str:
    if not captured.cut:
        return neutral(captured.text)
    head, tail = (neutral(data.decode(errors="replace")) for data in (captured.head, captured.tail))
    return head + _MARKER.format(cut=captured.cut, stream=stream, offset=len(captured.head)) + tail


def _lines(report: RunReport) -> Iterator[str]:
    yield _headline(report)
    yield from (f"Note: {note}" for note in report.notes)
    if isinstance(report, FunctionReport) and report.returned:
        yield f"value: {_json(report.value)}"
    streams = {"compiler": report.compiler, "stdout": report.stdout, "stderr": report.stderr}
    for stream, text in streams.items():
        if text:
            yield f"{stream}:\n{text}"
    yield from display_lines(report.displays)
    if report.usage is not None and not any(streams.values()) and not report.displays:
        yield "(no output)"
    for figure in report.figures:
        yield f"figure: {figure.name} ({figure.mime_type}, {figure.bytes} bytes), attached"
    yield from file_lines(report.run_id, report.files)


def _headline(report: RunReport) -> str:
    words: list[str] = [report.status]
    if report.exit_code is not None:
        words.append(f"with code {report.exit_code}")
    if report.signal is not None:
        words.append(f"by signal {report.signal}")
    if report.usage is not None:
        words.append(f"after {report.usage.wall_time_s:.2f} s")
    if report.retry_after_s is not None:
        words.append(f"retry in {report.retry_after_s:.0f} s")
    if report.run_id is not None:
        words.append(f"(run_id {report.run_id})")
    return " ".join(words)


def _json(value: object) -> str:
    return neutral(json.dumps(value, ensure_ascii=False, allow_nan=False))
