"""What the tools answer, as the schemas that they publish. Seconds and bytes throughout."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal[
    "exited", "signaled", "timed_out", "out_of_memory", "cpu_limit", "output_limit", "cancelled",
    "compile_failed", "queued", "installing", "running", "refused", "busy", "failed",
]  # fmt: skip


ANY_JSON: dict[str, Any] = {"type": ["object", "array", "string", "number", "boolean", "null"]}
"""The schema of a value of any type, said outright: some clients take no schema for a mistake."""


class Report(BaseModel):
    """A frozen answer without fields that nobody described."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Cut(Report):
    """How much of a stream is not in this answer."""

    total_bytes: int = Field(description="what the program wrote")
    shown_bytes: int = Field(description="what this answer has of it: its beginning and its end")
    next_offset: int = Field(description="where what was cut begins; pass it to read_output as offset")


class RunUsage(Report):
    """What the run used; null where it is not known."""

    wall_time_s: float
    cpu_time_s: float | None
    peak_memory_bytes: int | None
    stdout_bytes: int
    stderr_bytes: int


class Figure(Report):
    """A picture that the program left in its workspace; it is attached as image content."""

    name: str
    mime_type: str
    bytes: int
    sha256: str


class FileReport(Report):
    """Another file that came back from the workspace."""

    path: str
    mime_type: str
    bytes: int
    sha256: str
    attached: bool = Field(description="it is in this answer; read_output with file reads the others")
    text: str | None = Field(default=None, description="what is in it, where that is a short text")


class DisplayReport(Report):
    """A value that the program displayed."""

    text: str = Field(description="its text; cut where the displays have too much of it")
    forms: list[str] = Field(description="the MIME types that it was displayed in")
    attached: list[str] = Field(description="those of them that are in this answer, beside the text")


class CompileReport(Report):
    """How the compiler ended."""

    status: Status = Field(description="exited: by itself, whatever its exit code; the others as for a run")
    exit_code: int | None = None
    signal: int | None = None
    wall_time_s: float
    peak_memory_bytes: int | None


class RunReport(Report):
    """How a run ended, or that it runs, or why it did not."""

    status: Status = Field(
        description=(
            "exited and signaled: the program ended by itself, whatever its exit code; queued, installing "
            "(its packages, before it starts) and running: it goes on, use read_output; "
            "refused: change the request; busy: retry; failed: see notes; "
            "compile_failed: nothing was run, see compiler; "
            "the others name what ended it"
        )
    )
    exit_code: int | None = Field(default=None, description="the program's own; set when status is exited")
    signal: int | None = Field(default=None, description="the signal's number; set when status is signaled")
    run_id: str | None = Field(default=None, description="handle for read_output and cancel_run")
    notes: list[str] = Field(default_factory=list, description="what to know and to do next")
    stdout: str = ""
    stderr: str = ""
    compiler: str = Field(default="", description="what the compiler printed")
    truncated: dict[Literal["stdout", "stderr", "compiler"], Cut] = Field(
        default_factory=dict, description="streams that are longer than shown here"
    )
    limits_hit: dict[str, int] = Field(
        default_factory=dict, description="limits that were met, and how often"
    )
    usage: RunUsage | None = None
    compile: CompileReport | None = Field(default=None, description="null where nothing is compiled")
    figures: list[Figure] = Field(default_factory=list)
    files: list[FileReport] = Field(default_factory=list, description="other files that came back")
    displays: list[DisplayReport] = Field(
        default_factory=list, description="values, as a notebook shows them"
    )
    state_lost: bool = Field(
        default=False, description="in a session: the variables of this context are gone"
    )
    retry_after_s: float | None = Field(default=None, description="seconds to wait; set when status is busy")


class FunctionReport(RunReport):
    """A run of a function: ``value`` is what it returned."""

    value: Any = Field(
        default=None,
        description="what execute(input) returned; null where it returned nothing",
        json_schema_extra=ANY_JSON,
    )
    returned: bool = Field(default=False, description="whether the function returned a value")


class OutputPage(Report):
    """A range of a run's output, or of a file that came back."""

    status: Status = Field(description="the run's; refused: there is no such run, or change the request")
    run_id: str | None = None
    notes: list[str] = Field(default_factory=list, description="what to know and to do next")
    stream: Literal["stdout", "stderr", "compiler"] | None = Field(
        default="stdout", description="null where a file is read"
    )
    file: str | None = Field(default=None, description="the path of the file that is read")
    offset: int = 0
    next_offset: int = Field(default=0, description="where to read on")
    total_bytes: int = Field(default=0, description="what the program has written so far, or the file's size")
    finished: bool = Field(
        default=False, description="the run is over and this page reaches the end of what is kept"
    )
    exit_code: int | None = Field(
        default=None, description="the program's own; set when finished and status is exited"
    )
    signal: int | None = Field(default=None, description="set when finished and status is signaled")
    encoding: Literal["text", "base64"] = "text"
    data: str = ""
    figures: list[Figure] = Field(default_factory=list, description="set when a stream is finished")
    files: list[FileReport] = Field(default_factory=list, description="set when a stream is finished")


class RunSummary(Report):
    """One line of the list of runs."""

    run_id: str
    status: Status
    what: str
    age_s: float
    stdout_bytes: int
    stderr_bytes: int


class RunList(Report):
    """The caller's runs, the newest first."""

    runs: list[RunSummary] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list, description="what to know and to do next")


class LanguageInfo(Report):
    """A language that programs may be written in."""

    name: str
    aliases: list[str]
    version: str | None = Field(description="null where its image is not built yet")
    packages: list[str] = Field(description="what can be imported or called without installing it")
    may_add: list[str] = Field(description="patterns of those that may be named in packages")
    file: str = Field(description="the program's name in /workspace")
    functions: bool = Field(description="whether run_function takes it")


class LanguageList(Report):
    """What can run here."""

    languages: list[LanguageInfo] = Field(default_factory=list)
    limits: dict[str, str] = Field(default_factory=dict, description="defaults and ceilings of a run")
    notes: list[str] = Field(default_factory=list, description="what to know and to do next")
