"""The settings: meaning, default, unit and range of each, in one definition."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from sandbox_runner import hardening
from sandbox_runner.errors import InvalidRequest
from sandbox_runner.policy import Ceilings, Policy
from sandbox_runner.request import parse_size

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30
_MAX_SIZE = 1 << 60
_MAX_SECONDS = 1e9
_LIMITED = (
    "wall_time", "cpu_time", "memory", "cpus", "pids", "workspace", "tmp", "capture", "output",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """What a setting is: its unit as documented, and what to write where a value is refused."""

    unit: str
    give: str


def _number(value: object) -> object:
    # A bool is an int to Python, never to the person who wrote it.
    if isinstance(value, bool):
        raise PydanticCustomError("bool", "a number is wanted")
    return value


def _size(value: object) -> int:
    try:
        return parse_size(value)  # type: ignore[arg-type] # it refuses other types itself
    except InvalidRequest as error:
        raise ValueError(str(error)) from None


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


def _words(value: object) -> object:
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


_NUMBER = BeforeValidator(_number)
_SIZE = BeforeValidator(_size)
_OPTIONAL = BeforeValidator(_none_if_empty)
_POSITIVE = Field(gt=0, le=_MAX_SECONDS, allow_inf_nan=False)
_SECONDS = Kind("seconds", "a number of seconds greater than zero")
_NAME = Field(min_length=1)

Seconds = Annotated[float, _POSITIVE, _NUMBER, _SECONDS]
OptionalSeconds = Annotated[float | None, _POSITIVE, _NUMBER, _OPTIONAL, _SECONDS]
Cores = Annotated[float, _POSITIVE, _NUMBER, Kind("cores", "a number of cores, such as 0.5 or 2")]
Size = Annotated[
    int, Field(gt=0, le=_MAX_SIZE), _SIZE, Kind("bytes", "a number of bytes, or text such as 256m")
]
Memory = Annotated[
    int,
    Field(ge=hardening.MIN_MEMORY, le=_MAX_SIZE),
    _SIZE,
    Kind("bytes", "16m or more: a number of bytes, or text such as 256m"),
]
Pids = Annotated[
    int,
    Field(ge=hardening.MIN_PIDS, le=1 << 22),
    _NUMBER,
    Kind("processes and threads", f"a whole number, {hardening.MIN_PIDS} or more"),
]
Count = Annotated[int, Field(ge=0, le=1 << 20), _NUMBER, Kind("count", "a whole number, 0 or more")]
Places = Annotated[
    int | None, Field(ge=1, le=1 << 20), _NUMBER, _OPTIONAL, Kind("count", "a whole number, 1 or more")
]
Text = Annotated[str, _NAME, Kind("name", "a name")]
OptionalText = Annotated[str | None, _NAME, _OPTIONAL, Kind("name", "text")]
Words = Annotated[
    tuple[str, ...],
    BeforeValidator(_words),
    Kind("list", 'a list such as ["a", "b"]; as a variable or flag a,b'),
]
Engine = Annotated[Literal["auto", "docker"], Kind("name", "auto or docker")]


class Config(BaseModel):
    """Every setting. Times are seconds, sizes bytes; a size may be given as text such as ``256m``.

    Raises pydantic.ValidationError, a ValueError, for a value that cannot be used, and where a
    default is above its ceiling.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: Engine = Field(
        default="auto", description="The container engine; auto is the Docker engine that answers."
    )
    docker_host: OptionalText = Field(
        default=None,
        description="Address of the Docker engine; none means DOCKER_HOST, else its usual places.",
    )
    oci_runtime: OptionalText = Field(
        default=None, description="The engine's runtime to use, such as runsc; none means its default."
    )
    cgroup_parent: OptionalText = Field(
        default=None, description="The cgroup below which containers are put; none means the engine's."
    )
    max_concurrent: Places = Field(
        default=None, description="Runs at one time; none means what the engine's cores and memory allow."
    )
    queue_size: Count = Field(
        default=64, description="Runs that may wait for their turn; more are told to retry later."
    )
    profile: Text = Field(default="default", description="The seccomp profile where a run names none.")
    profiles: Words = Field(default=("default", "strict"), description="The seccomp profiles a run may name.")
    images: Words = Field(
        default=("*",), description="Shell patterns of the images that a run may name itself."
    )

    wall_time: Seconds = Field(default=30, description="How long a run may take.")
    cpu_time: OptionalSeconds = Field(
        default=None, description="CPU time of all processes of a run; none means wall_time x cpus + 1 s."
    )
    memory: Memory = Field(default=512 * _MIB, description="Memory of a run, without swap.")
    cpus: Cores = Field(default=1, description="Cores that a run may use at once.")
    pids: Pids = Field(default=128, description="Processes and threads that a run may have at once.")
    workspace: Size = Field(default=256 * _MIB, description="Size of /workspace.")
    tmp: Size = Field(default=64 * _MIB, description="Size of /tmp.")
    capture: Size = Field(
        default=_MIB, description="Output kept for the result, per stream: of more, the head and the tail."
    )
    output: Size = Field(default=64 * _MIB, description="Output, of both streams, at which a run is ended.")

    max_wall_time: Seconds = Field(default=600, description="Ceiling of wall_time.")
    max_cpu_time: Seconds = Field(default=3600, description="Ceiling of cpu_time.")
    max_memory: Memory = Field(default=4 * _GIB, description="Ceiling of memory.")
    max_cpus: Cores = Field(default=4, description="Ceiling of cpus.")
    max_pids: Pids = Field(default=1024, description="Ceiling of pids.")
    max_workspace: Size = Field(default=_GIB, description="Ceiling of workspace.")
    max_tmp: Size = Field(default=512 * _MIB, description="Ceiling of tmp.")
    max_capture: Size = Field(default=16 * _MIB, description="Ceiling of capture.")
    max_output: Size = Field(default=_GIB, description="Ceiling of output.")
    max_code: Size = Field(default=_MIB, description="Size of a program's code.")
    max_files: Count = Field(default=256, description="Files that a run may bring.")
    max_file_bytes: Size = Field(default=64 * _MIB, description="Size of these files in all.")

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        for name in _LIMITED:
            value = getattr(self, name)
            if value is not None and value > getattr(self, f"max_{name}"):
                raise PydanticCustomError("above_ceiling", "{name} is above max_{name}", {"name": name})
        if self.profile not in self.profiles:
            raise PydanticCustomError("not_a_profile", "profile is not among profiles")
        return self

    def policy(self) -> Policy:
        """The part of the settings that decides about requests."""
        ceilings = {name: getattr(self, f"max_{name}") for name in (*_LIMITED, "code", "files", "file_bytes")}
        return Policy(
            **{name: getattr(self, name) for name in _LIMITED},
            ceilings=Ceilings(**ceilings),
            profile=self.profile,
            profiles=self.profiles,
            images=self.images,
            oci_runtime=self.oci_runtime,
            cgroup_parent=self.cgroup_parent,
        )


def kind(name: str) -> Kind:
    """The kind of the setting ``name``."""
    return next(item for item in Config.model_fields[name].metadata if isinstance(item, Kind))


def format_size(size: int) -> str:
    """``size`` in bytes as `parse_size` reads it, in the largest unit that divides it."""
    for power, letter in ((40, "t"), (30, "g"), (20, "m"), (10, "k")):
        if size and size % (1 << power) == 0:
            return f"{size >> power}{letter}"
    return str(size)


def format_setting(name: str, value: object) -> str:
    """``value`` as a variable would have it for the setting ``name``; ``none`` where there is none."""
    match value:
        case None | ():
            return "none"
        case tuple():
            return ",".join(value)
        case int() if kind(name).unit == "bytes":
            return format_size(value)
        case float():
            return f"{value:.15g}"
    return str(value)


def settings_table() -> str:
    """The settings as a Markdown table; the README has a copy of it, which a test compares."""
    rows = ["| Setting | Default | Unit | Meaning |", "|---|---|---|---|"]
    for name, field in Config.model_fields.items():
        default = format_setting(name, field.default)
        rows.append(f"| `{name}` | `{default}` | {kind(name).unit} | {field.description} |")
    return "\n".join(rows)
