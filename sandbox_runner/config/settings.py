"""The settings: meaning, default, unit and range of each, in one definition.

Plain dataclasses: every run loads this, and a pydantic model costs it more time than all the
rest of its own preparation together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sandbox_runner.config.kinds import (
    CORES,
    COUNT,
    ENGINE,
    INDEX,
    KEYS,
    MEMORY,
    NAME,
    OPTIONAL_SECONDS,
    OPTIONAL_TEXT,
    PACKAGES,
    PIDS,
    PLACES,
    PORT,
    SECONDS,
    SIZE,
    TRUTH,
    WORDS,
    Kind,
)
from sandbox_runner.errors import ConfigError
from sandbox_runner.languages import USUAL
from sandbox_runner.policy import Ceilings, Policy, Terms
from sandbox_runner.request import format_size

_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30
_LIMITED = (
    "wall_time", "cpu_time", "memory", "cpus", "pids", "workspace", "tmp", "capture", "output",
    "compile_time", "compile_memory",
)  # fmt: skip


_CEILINGS_ALONE = (
    "code", "files", "file_bytes", "artifacts", "artifact", "artifact_bytes",
    "out_files", "out_file", "out_bytes",
)  # fmt: skip
_BOUNDED = (*_LIMITED, "session_ttl", "session_idle", "session_cpu_time")  # each has a ceiling


def _setting(default: object, kind: Kind, description: str) -> Any:  # noqa: ANN401 - as dataclasses.field
    return field(default=default, metadata={"kind": kind, "description": description})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting. Times are seconds, sizes bytes; a size may be given as text such as ``256m``.

    Raises ConfigError for a value that cannot be used, and where a default is above its ceiling.
    """

    engine: str = _setting(
        "auto", ENGINE, "The container engine; auto is a Docker engine that answers, else oci."
    )
    docker_host: str | None = _setting(
        None, OPTIONAL_TEXT, "Address of the Docker engine; none means DOCKER_HOST, else its usual places."
    )
    oci_runtime: str | None = _setting(
        None, OPTIONAL_TEXT, "The engine's runtime to use, such as runsc; none means its default."
    )
    cgroup_parent: str | None = _setting(
        None, OPTIONAL_TEXT, "The cgroup below which containers are put; none means the engine's."
    )
    require_user_namespace: bool = _setting(
        False, TRUTH, "Whether a run is refused where its container can have no user namespace of its own."
    )
    max_concurrent: int | None = _setting(
        None, PLACES, "Runs at one time; none means what the engine's cores and memory allow."
    )
    queue_size: int = _setting(64, COUNT, "Runs that may wait for their turn; more are told to retry later.")
    pool_max: int = _setting(
        32, COUNT, "Containers that a server keeps waiting for runs to come, at most; 0 means none."
    )
    pool_min: int = _setting(0, COUNT, "How many it keeps of each kind that was used, even where idle.")
    pool_idle: float = _setting(300.0, SECONDS, "How long one that no run needed is kept.")
    profile: str = _setting("default", NAME, "The seccomp profile where a run names none.")
    profiles: tuple[str, ...] = _setting(
        ("default", "strict"), WORDS, "The seccomp profiles that a run may name."
    )
    languages: tuple[str, ...] = _setting(
        USUAL, WORDS, "The languages that setup makes ready unless it is told; all means every one."
    )
    images: tuple[str, ...] = _setting(
        ("*",), WORDS, "Shell patterns of the images that a run may name itself."
    )

    packages: tuple[str, ...] = _setting(
        (), PACKAGES, "Patterns of the packages that a run may ask for, such as pip:numpy or npm:*."
    )
    refused_packages: tuple[str, ...] = _setting(
        (), PACKAGES, "Patterns of packages that are refused, also where an allowed one needs them."
    )
    pip_index: str | None = _setting(None, INDEX, "The index that pip installs from; none means PyPI.")
    npm_registry: str | None = _setting(
        None, INDEX, "The registry that npm installs from; none means the npm registry."
    )
    package_hosts: tuple[str, ...] = _setting(
        (), WORDS, "Other hosts, as HOST or HOST:PORT, that these may have packages fetched from."
    )
    package_ca: str | None = _setting(
        None, OPTIONAL_TEXT, "File with the certificates that vouch for them; none means the usual ones."
    )
    package_time: float = _setting(300.0, SECONDS, "How long packages may take to install.")
    package_memory: int = _setting(2 * _GIB, MEMORY, "Memory for installing them; their files are in it.")
    package_disk: int = _setting(_GIB, SIZE, "Size of all that installing packages writes.")
    package_cache: int = _setting(
        8 * _GIB, SIZE, "Size of all packages kept for later runs; those unused longest go first."
    )

    wall_time: float = _setting(30.0, SECONDS, "How long a run may take.")
    cpu_time: float | None = _setting(
        None, OPTIONAL_SECONDS, "CPU time of all processes of a run; none means wall_time x cpus + 1 s."
    )
    memory: int = _setting(512 * _MIB, MEMORY, "Memory of a run, without swap.")
    cpus: float = _setting(1.0, CORES, "Cores that a run may use at once.")
    pids: int = _setting(128, PIDS, "Processes and threads that a run may have at once.")
    workspace: int = _setting(256 * _MIB, SIZE, "Size of /workspace.")
    tmp: int = _setting(64 * _MIB, SIZE, "Size of /tmp.")
    capture: int = _setting(
        _MIB, SIZE, "Output kept for the result, per stream: of more, the head and the tail."
    )
    output: int = _setting(64 * _MIB, SIZE, "Output, of both streams, at which a run is ended.")

    compile_time: float = _setting(60.0, SECONDS, "How long a program may take to compile.")
    compile_memory: int = _setting(_GIB, MEMORY, "Memory for compiling a program, without swap.")

    max_wall_time: float = _setting(600.0, SECONDS, "Ceiling of wall_time.")
    max_cpu_time: float = _setting(3600.0, SECONDS, "Ceiling of cpu_time.")
    max_memory: int = _setting(4 * _GIB, MEMORY, "Ceiling of memory.")
    max_cpus: float = _setting(4.0, CORES, "Ceiling of cpus.")
    max_pids: int = _setting(1024, PIDS, "Ceiling of pids.")
    max_workspace: int = _setting(_GIB, SIZE, "Ceiling of workspace.")
    max_tmp: int = _setting(512 * _MIB, SIZE, "Ceiling of tmp.")
    max_capture: int = _setting(16 * _MIB, SIZE, "Ceiling of capture.")
    max_output: int = _setting(_GIB, SIZE, "Ceiling of output.")
    max_compile_time: float = _setting(600.0, SECONDS, "Ceiling of compile_time.")
    max_compile_memory: int = _setting(4 * _GIB, MEMORY, "Ceiling of compile_memory.")
    max_code: int = _setting(_MIB, SIZE, "Size of a program's code.")
    max_files: int = _setting(10_000, COUNT, "Files that a run may bring.")
    max_file_bytes: int = _setting(64 * _MIB, SIZE, "Size of these files in all.")
    max_artifacts: int = _setting(256, COUNT, "Files that a run may give back.")
    max_artifact: int = _setting(16 * _MIB, SIZE, "Size of each of them.")
    max_artifact_bytes: int = _setting(32 * _MIB, SIZE, "Size of them in all.")
    max_out_files: int = _setting(10_000, COUNT, "Files that a run may give back to a folder (--out).")
    max_out_file: int = _setting(_GIB, SIZE, "Size of each of them.")
    max_out_bytes: int = _setting(_GIB, SIZE, "Size of them in all.")

    session_ttl: float = _setting(3600.0, SECONDS, "How long a session lasts.")
    session_idle: float = _setting(600.0, SECONDS, "How long one lasts that nobody uses.")
    session_cpu_time: float = _setting(600.0, SECONDS, "CPU time of all that runs in a session.")
    max_session_ttl: float = _setting(14400.0, SECONDS, "Ceiling of session_ttl.")
    max_session_idle: float = _setting(3600.0, SECONDS, "Ceiling of session_idle.")
    max_session_cpu_time: float = _setting(3600.0, SECONDS, "Ceiling of session_cpu_time.")
    max_sessions: int | None = _setting(
        None, PLACES, "Sessions that a server holds open; none means half of the runs at one time."
    )
    max_sessions_each: int = _setting(4, COUNT, "How many of them one principal may have.")
    max_snapshot: int = _setting(256 * _MIB, SIZE, "Size of a session's snapshot, compressed.")
    snapshots: int = _setting(_GIB, SIZE, "Size of all snapshots that this machine keeps.")
    snapshot_ttl: float = _setting(86400.0, SECONDS, "How long a snapshot is kept.")

    shown_output: int = _setting(
        16 * _KIB, SIZE, "Output that a tool's answer shows, per stream; read_output reads all."
    )
    spool: int = _setting(256 * _MIB, SIZE, "Output of all runs that a server keeps to be read.")
    run_ttl: float = _setting(3600.0, SECONDS, "How long a server keeps a run that is over.")
    max_image: int = _setting(
        8 * _GIB, SIZE, "Size of an image that setup brings in for the engine oci, unpacked."
    )
    build_on_first_use: bool = _setting(
        True, TRUTH, "Whether the stdio server builds missing images when a run needs them."
    )

    host: str = _setting("127.0.0.1", NAME, "The address that the HTTP server listens on.")
    port: int = _setting(8000, PORT, "The port that it listens on.")
    allowed_hosts: tuple[str, ...] = _setting(
        (), WORDS, "Names that clients may call it by, beside those of its own address."
    )
    allowed_origins: tuple[str, ...] = _setting(
        (), WORDS, "Web origins that may call it, such as https://tools.example; other web pages may not."
    )
    keys: tuple[str, ...] = _setting((), KEYS, "Hashes of the keys that it accepts, as NAME:sha256:HASH.")
    keys_file: str | None = _setting(
        None, OPTIONAL_TEXT, "File with more of them; none means http-keys beside the user's config.toml."
    )
    max_body: int = _setting(16 * _MIB, SIZE, "Size of a request to it.")
    body_time: float = _setting(30.0, SECONDS, "How long the body of a request may take to arrive.")
    drain_time: float = _setting(20.0, SECONDS, "How long calls may go on when it is told to end.")

    def __post_init__(self) -> None:
        values = {name: getattr(self, name) for name in SETTINGS}
        for name, value in checked(values, sources={}).items():
            object.__setattr__(self, name, value)

    def policy(self) -> Policy:
        """The part of the settings that decides about requests."""
        ceilings = {name: getattr(self, f"max_{name}") for name in (*_LIMITED, *_CEILINGS_ALONE)}
        return Policy(
            **{name: getattr(self, name) for name in _LIMITED},
            ceilings=Ceilings(**ceilings),
            session=self._terms("session"),
            session_ceilings=self._terms("max_session"),
            profile=self.profile,
            profiles=self.profiles,
            images=self.images,
            oci_runtime=self.oci_runtime,
            cgroup_parent=self.cgroup_parent,
            require_user_namespace=self.require_user_namespace,
            packages=self.packages,
            refused_packages=self.refused_packages,
        )

    def _terms(self, prefix: str) -> Terms:
        return Terms(**{each.name: getattr(self, f"{prefix}_{each.name}") for each in fields(Terms)})


@dataclass(frozen=True, slots=True)
class Setting:
    """The definition of one setting."""

    default: object
    kind: Kind
    description: str


SETTINGS: Mapping[str, Setting] = {
    each.name: Setting(each.default, **each.metadata) for each in fields(Config)
}


def checked(values: Mapping[str, object], *, sources: Mapping[str, str]) -> dict[str, Any]:
    """Every setting: ``values`` as they are meant, the rest by default.

    Raises ConfigError, naming the source where ``sources`` has it, for a value that cannot be
    used and for two that do not go together.
    """
    read: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        value = values.get(name, setting.default)
        try:
            read[name] = setting.kind.read(value)
        except (ValueError, OverflowError):
            shown = "not what it must be" if setting.kind.secret else repr(value)
            raise ConfigError(f"{_from(name, sources)}{name} is {shown}; give {setting.kind.give}.") from None
    _check_ceilings(read, sources)
    if read["profile"] not in read["profiles"]:
        raise ConfigError(
            f"{_from('profile', sources)}profile is {read['profile']}, which is not among profiles "
            f"({format_setting('profiles', read['profiles'])}); name one of them."
        )
    return read


def _check_ceilings(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    for name in _BOUNDED:
        value, other = values[name], f"max_{name}"
        if value is not None and value > values[other]:
            shown, ceiling = format_setting(name, value), format_setting(other, values[other])
            where = f" ({sources[other]})" if other in sources else ""
            raise ConfigError(
                f"{_from(name, sources)}{name} is {shown}, above the ceiling {other} of {ceiling}{where}; "
                f"lower {name} or raise {other}."
            )


def _from(name: str, sources: Mapping[str, str]) -> str:
    return f"{sources[name]}: " if name in sources else ""


def format_setting(name: str, value: object) -> str:
    """``value`` as a variable would have it for the setting ``name``; ``none`` where there is none."""
    match value:
        case None | ():
            return "none"
        case tuple():
            return ",".join(value)
        case bool():
            return str(value).lower()
        case int() if SETTINGS[name].kind.unit == "bytes":
            return format_size(value)
        case float():
            return f"{value:.15g}"
    return str(value)


def settings_table() -> str:
    """The settings as a Markdown table; the README has a copy of it, which a test compares."""
    rows = ["| Setting | Default | Unit | Meaning |", "|---|---|---|---|"]
    for name, setting in SETTINGS.items():
        default = format_setting(name, setting.default)
        rows.append(f"| `{name}` | `{default}` | {setting.kind.unit} | {setting.description} |")
    return "\n".join(rows)
