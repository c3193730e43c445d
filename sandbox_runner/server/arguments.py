"""The tools' parameters, described for a model, and what they ask for as a RunRequest."""

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sandbox_runner.agent.protocol import MAX_PATTERNS
from sandbox_runner.errors import InvalidRequest
from sandbox_runner.request import InputFile, Limits, RunRequest
from sandbox_runner.server.reports import ANY_JSON

_MIB = 1 << 20
SHOWN = ("*.png", "*.svg", "*.jpg", "*.jpeg", "*.gif", "*.wav", "*.mp3")
"""Names at the top of the workspace that come back as images and sounds."""


class File(BaseModel):
    """A file for /workspace."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(description="relative to /workspace, such as data.csv or src/util.py")
    content: str = Field(description="text, or bytes in base64 as encoding says")
    encoding: Literal["text", "base64"] = Field(default="text", description="how content is to be read")
    executable: bool = Field(default=False, description="whether the program may execute it")


# Exactly `str`: the SDK decodes what looks like JSON for any wider type.
Language = Annotated[
    str, Field(description="python, javascript, typescript or bash; list_languages shows all")
]
Code = Annotated[str, Field(description="the whole program; each run starts afresh, nothing is remembered")]
Command = Annotated[str, Field(description="a command line for bash, such as: sort data.csv | uniq -c")]
Function = Annotated[str, Field(description="code that defines execute(input) and returns a JSON value")]
Value = Annotated[Any, Field(description="the JSON value that execute gets", json_schema_extra=ANY_JSON)]
FunctionLanguage = Annotated[
    str, Field(description="python, or another that list_languages shows with functions")
]
Stdin = Annotated[str, Field(description="text for the program's standard input")]
Files = Annotated[list[File], Field(description="files to put into /workspace, where the program starts")]
Artifacts = Annotated[
    list[str],
    Field(
        description="files to give back beside pictures: paths or patterns such as report.csv or out/**",
        max_length=MAX_PATTERNS - len(SHOWN),
    ),
]
Env = Annotated[dict[str, str], Field(description="environment variables")]
Packages = Annotated[
    list[str],
    Field(
        description="packages to add, such as numpy>=2 or lodash@^4, where list_languages says they may be"
    ),
]
Timeout = Annotated[
    float, Field(gt=0, description="seconds until the run is ended; its output so far comes back")
]
Memory = Annotated[int | None, Field(gt=0, description="memory in MiB; null means the default")]
Background = Annotated[
    bool,
    Field(description="return at once with a run_id; read_output then reads and waits, cancel_run ends it"),
]
Display = Annotated[
    bool,
    Field(
        description="also return the value of the last expression, and what display() shows, as a notebook "
        "does: tables, pictures, formulas; python only, not with background"
    ),
]
RunId = Annotated[str, Field(description="the run_id of an earlier answer")]
FileName = Annotated[str, Field(description="the path of a file that came back, to read it instead")]
StreamName = Annotated[Literal["stdout", "stderr", "compiler"], Field(description="which output")]
Offset = Annotated[int, Field(ge=0, description="byte to begin at; next_offset of the last answer reads on")]
MaxBytes = Annotated[int, Field(gt=0, le=_MIB, description="the most to return")]
Wait = Annotated[
    float,
    Field(ge=0, le=50, description="seconds to wait for output beyond offset, or for the run's end"),
]
Encoding = Annotated[
    Literal["text", "base64"],
    Field(description="text shows control characters as symbols; base64 is exact"),
]


Session = Annotated[str, Field(description="the handle that open_session gave")]
InSession = Annotated[
    str, Field(description="a session's handle: run there, where what earlier code left is found")
]
InContext = Annotated[str, Field(description="in a session: whose variables; each name has its own")]
Snapshot = Annotated[str, Field(description="begin with the files of this snapshot_session")]
Lifetime = Annotated[float | None, Field(gt=0, description="seconds until it ends")]
Idle = Annotated[float | None, Field(gt=0, description="seconds without use until it ends")]
Path = Annotated[str, Field(description="relative to /workspace, such as src/util.py")]
Folder = Annotated[str, Field(description="relative to /workspace; . is that itself")]
Content = Annotated[str, Field(description="text, or bytes in base64 as encoding says")]
ContentEncoding = Annotated[Literal["text", "base64"], Field(description="how content is to be read")]
Executable = Annotated[bool, Field(description="whether programs may execute it")]
FileEncoding = Annotated[
    Literal["auto", "text", "base64"],
    Field(description="auto: text where it is, pictures as images, else base64"),
]
FileOffset = Annotated[int, Field(ge=0, description="byte to begin at; next_offset reads on")]
EntryOffset = Annotated[int, Field(ge=0, description="entry to begin at")]


def limits_of(timeout_s: float, memory_mb: int | None) -> Limits:
    """The limits that a call asks for. Raises InvalidRequest."""
    return Limits(wall_time=timeout_s, memory=None if memory_mb is None else memory_mb * _MIB)


def input_files(files: list[File]) -> tuple[InputFile, ...]:
    """The files of a call. Raises InvalidRequest for one that is not what its encoding says."""
    return tuple(InputFile(file.path, _data(file), 0o755 if file.executable else 0o644) for file in files)


def _data(file: File) -> bytes:
    try:
        if file.encoding == "base64":
            return base64.b64decode(file.content, validate=True)
        return file.content.encode()
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raise InvalidRequest(
            f"The content of {file.path[:100]!r} is not valid {file.encoding}; "
            "correct it, or choose the other encoding."
        ) from None


def code_request(
    language: str,
    code: str,
    *,
    stdin: str,
    files: list[File],
    env: dict[str, str],
    limits: Limits,
    artifacts: list[str],
    packages: list[str],
    display: bool = False,
) -> RunRequest:
    """A program in a language. Raises InvalidRequest."""
    return RunRequest(
        language=language,
        code=code,
        stdin=stdin,
        env=env,
        files=input_files(files),
        limits=limits,
        artifacts=(*SHOWN, *artifacts),
        display=display,
        packages=packages,
    )


def shell_request(
    command: str,
    *,
    stdin: str,
    files: list[File],
    env: dict[str, str],
    limits: Limits,
    artifacts: list[str],
) -> RunRequest:
    """A command line for bash. Raises InvalidRequest."""
    if not command.strip():
        raise InvalidRequest("The command is empty; give a command line for bash.")
    return RunRequest(
        command=("bash", "-c", command),
        stdin=stdin,
        env=env,
        files=input_files(files),
        limits=limits,
        artifacts=(*SHOWN, *artifacts),
    )
