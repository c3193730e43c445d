"""The tools that look after runs: read their output, end them, list them; and what can run."""

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import anyio
from mcp.server.mcpserver import Context
from mcp_types import CallToolResult, ContentBlock

from sandbox_runner.config import Config
from sandbox_runner.errors import InvalidRequest, RequestRejected
from sandbox_runner.events import Artifact, Stream
from sandbox_runner.server import arguments as ask
from sandbox_runner.server.attached import file_lines
from sandbox_runner.server.identity import principal_of
from sandbox_runner.server.render import answer, ending, page, refused
from sandbox_runner.server.reports import OutputPage, RunList, RunReport, RunSummary
from sandbox_runner.server.runs import Run
from sandbox_runner.server.service import Service
from sandbox_runner.server.text import neutral, whole_characters

_ENDING = 3.0  # seconds that cancel_run waits for the run to be over
_LISTED = 100
_PAGE = 32768  # bytes that read_output returns unless told


@dataclass(frozen=True, slots=True)
class Readers:
    """read_output, cancel_run and list_runs over one service."""

    service: Service

    async def read_output(
        self,
        context: Context,
        run_id: ask.RunId,
        stream: ask.StreamName = "stdout",
        offset: ask.Offset = 0,
        max_bytes: ask.MaxBytes = _PAGE,
        wait_s: ask.Wait = 0,
        encoding: ask.Encoding = "text",
        file: ask.FileName = "",
    ) -> Annotated[CallToolResult, OutputPage]:
        """Read any byte range of a run's output, also while it runs, or of a file that it gave back.

        Use it for what an answer cut, and for runs in the background: with wait_s it waits until there is
        something to read. Output is kept for a limited time and in limited space; the oldest goes first.
        """
        exact = encoding == "base64"
        try:
            run = self._find(context, run_id)
            if file:
                with anyio.move_on_after(wait_s):
                    await run.finished.wait()
                return _file_page(run, _find_file(run, file), offset, max_bytes, exact=exact)
        except RequestRejected as error:
            return refused(OutputPage, error)
        with anyio.move_on_after(wait_s):
            while not run.finished.is_set() and run.record.kept(stream) <= offset:
                await run.news.wait()
        return _page(run, self.service.config, stream, offset, max_bytes, exact=exact)

    async def cancel_run(self, context: Context, run_id: ask.RunId) -> Annotated[CallToolResult, RunReport]:
        """End a run that was started in the background; its output so far can still be read.

        Harmless where it is over already: the answer is how it ended.
        """
        try:
            run = self._find(context, run_id)
        except RequestRejected as error:
            return refused(RunReport, error)
        run.cancel()
        with anyio.move_on_after(_ENDING):
            await run.finished.wait()
        result = answer(run, self.service.config)
        # It did what was asked for: that the run was cancelled is no failure of this call.
        return result.model_copy(update={"is_error": False})

    async def list_runs(self, context: Context) -> Annotated[CallToolResult, RunList]:
        """List your runs of late, the newest first, with how they stand."""
        runs = [_summary(run) for run in self.service.runs.of(principal_of(context))[:_LISTED]]
        lines = [f"{run.run_id} {run.status} {run.what} ({run.age_s:.0f} s ago)" for run in runs]
        return page(RunList(runs=runs), "\n".join(lines) or "There are no runs.")

    def _find(self, context: Context, run_id: str) -> Run:
        return self.service.runs.find(run_id, principal_of(context))


def _page(run: Run, config: Config, stream: Stream, offset: int, size: int, *, exact: bool) -> CallToolResult:
    over = run.finished.is_set()
    data = run.record.read(stream, offset=offset, size=size)
    at_end = offset + len(data) >= run.record.kept(stream)
    if not exact and not (over and at_end):
        data = whole_characters(data)
    last, shown = _ending(run, config) if over and at_end else (None, ())
    report = OutputPage(
        run_id=run.run_id,
        stream=stream,
        status=run.status,
        offset=offset,
        next_offset=offset + len(data),
        total_bytes=run.record.total(stream),
        finished=over and at_end,
        exit_code=last.exit_code if last else None,
        signal=last.signal if last else None,
        encoding="base64" if exact else "text",
        data=_said(data, exact=exact),
        notes=[*_page_notes(run, stream, offset), *(last.notes if last else ())],
        figures=last.figures if last else [],
        files=last.files if last else [],
    )
    return page(report, "\n".join(_page_lines(report)), shown)


def _find_file(run: Run, name: str) -> Artifact:
    """Raises InvalidRequest where no such file is kept."""
    for artifact in run.record.attached:
        if name in (artifact.path, neutral(artifact.path)):
            return artifact
    if not run.finished.is_set():
        raise InvalidRequest("Files come back when the run is over; wait for it with wait_s.")
    if run.record.discarded:
        raise InvalidRequest("The run's files are no longer kept; run the program again to get them.")
    raise InvalidRequest(
        f"The run gave back no file {neutral(name[:100])!r}; ask for it with artifacts when you run it."
    )


def _file_page(run: Run, file: Artifact, offset: int, size: int, *, exact: bool) -> CallToolResult:
    data = file.data[offset : offset + size]
    if not exact and offset + len(data) < file.size:
        data = whole_characters(data)
    end = offset + len(data)
    report = OutputPage(
        run_id=run.run_id,
        stream=None,
        file=neutral(file.path),
        status=run.status,
        offset=offset,
        next_offset=end,
        total_bytes=file.size,
        finished=end >= file.size,
        encoding="base64" if exact else "text",
        data=_said(data, exact=exact),
        notes=[f"The offset is beyond the {file.size} bytes there are."] if offset > file.size else [],
    )
    return page(report, "\n".join(_page_lines(report)))


def _said(data: bytes, *, exact: bool) -> str:
    return base64.b64encode(data).decode() if exact else neutral(data.decode(errors="replace"))


def _ending(run: Run, config: Config) -> tuple[RunReport, Sequence[ContentBlock]]:
    if run.result is not None:
        return ending(run, run.result, config)
    return RunReport(status=run.status, notes=[neutral(str(run.error))] if run.error else []), ()


def _page_lines(report: OutputPage) -> list[str]:
    code = "" if report.exit_code is None else f" with code {report.exit_code}"
    signal = "" if report.signal is None else f" by signal {report.signal}"
    source = report.file or report.stream
    place = f"bytes {report.offset} to {report.next_offset} of {report.total_bytes} of {source}"
    names = [f"figure: {figure.name}, attached" for figure in report.figures]
    notes = [f"Note: {note}" for note in report.notes]
    files = file_lines(report.run_id, report.files)
    return [f"{report.status}{code}{signal}: {place}", *notes, report.data, *names, *files]


def _page_notes(run: Run, stream: Stream, offset: int) -> list[str]:
    total, kept = run.record.total(stream), run.record.kept(stream)
    notes = []
    if run.record.discarded and total:
        notes.append("The output is no longer kept; run the program again to get it.")
    elif kept < total:
        notes.append(f"Only the first {kept} bytes are kept: there was no room for more.")
    if offset > total:
        notes.append(f"The offset is beyond the {total} bytes there are.")
    return notes


def _summary(run: Run) -> RunSummary:
    return RunSummary(
        run_id=run.run_id,
        status=run.status,
        what=neutral(run.what),
        age_s=round(time.time() - run.created, 1),
        stdout_bytes=run.record.total("stdout"),
        stderr_bytes=run.record.total("stderr"),
    )
