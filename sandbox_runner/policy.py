"""Decides: what a caller asked for, against what the operator allows, becomes a container.

Everything here is pure. `check` refuses what can be refused without an engine; `admit`
does the same and then writes the `ContainerSpec` and the `Job`, and nothing else does.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from sandbox_runner import hardening
from sandbox_runner.agent.patterns import MAX_NAME
from sandbox_runner.agent.protocol import MAX_PATTERNS, MAX_VALUE
from sandbox_runner.errors import InvalidRequest, LimitExceeded, NotPermitted
from sandbox_runner.files import check_files
from sandbox_runner.languages import FORK, Language, load_languages
from sandbox_runner.request import InputFile, Principal, RunRequest, format_size, parse_size
from sandbox_runner.spec import (
    WORKSPACE,
    Admission,
    ContainerSpec,
    Image,
    Job,
    Placement,
    ResolvedLimits,
    Rlimit,
    Tmpfs,
)

_SIZES = ("memory", "workspace", "tmp", "capture", "output", "compile_memory")
_NUMBERS = ("wall_time", "cpus", "pids", "compile_time")
# What a name may consist of: it becomes a part of the engine API's paths.
_IMAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]|[/:@](?=[A-Za-z0-9])){0,511}")
_CPU_GRACE = 1.0  # seconds over wall_time x cpus, so that the wall clock speaks first


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """The most that a request may ask for; units as in `request.Limits`, sizes in bytes."""

    wall_time: float
    cpu_time: float
    memory: int
    cpus: float
    pids: int
    workspace: int
    tmp: int
    capture: int
    output: int
    compile_time: float
    compile_memory: int
    code: int
    files: int
    file_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The operator's defaults, ceilings and grants.

    ``cpu_time`` None means wall_time x cpus + 1 s. ``images`` are shell patterns for the
    image names a request may name itself; ``profiles`` the seccomp profiles it may pick.
    """

    wall_time: float
    cpu_time: float | None
    memory: int
    cpus: float
    pids: int
    workspace: int
    tmp: int
    capture: int
    output: int
    compile_time: float
    compile_memory: int
    ceilings: Ceilings
    profile: str
    profiles: tuple[str, ...]
    images: tuple[str, ...]
    oci_runtime: str | None
    cgroup_parent: str | None


def image_name(request: RunRequest, language: Language | None) -> str:
    """The image that a request wants: its own, its language's, or the shell image for a command."""
    return request.image or (language.image if language else hardening.COMMAND_IMAGE)


def check(policy: Policy, request: RunRequest, *, language: Language | None) -> ResolvedLimits:
    """The limits of an acceptable request.

    Raises InvalidRequest, LimitExceeded or NotPermitted, each naming what to change.
    """
    _check_program(policy, request)
    _check_words(request)
    check_files(request.files, count=policy.ceilings.files, size=policy.ceilings.file_bytes)
    _check_program_file(request, language)
    _check_artifacts(request)
    _check_value(request, language)
    if request.image is not None and not _IMAGE.fullmatch(request.image):
        raise InvalidRequest(
            f"{request.image[:100]!r} is not an image's name; give one such as debian:stable."
        )
    if request.image is not None and not any(fnmatchcase(request.image, p) for p in policy.images):
        raise NotPermitted(f"Image {request.image!r} is not allowed here; allowed: {_words(policy.images)}.")
    profile = request.profile or policy.profile
    if profile not in policy.profiles:
        raise NotPermitted(f"Profile {profile!r} is not allowed here; allowed: {_words(policy.profiles)}.")
    return _resolve_limits(policy, request)


def admit(
    policy: Policy,
    request: RunRequest,
    principal: Principal,
    *,
    language: Language | None,
    image: Image,
    placement: Placement,
) -> Admission:
    """The container and the job for a request.

    Raises what `check` raises, and InvalidRequest where an image without our agent cannot
    do what is asked.
    """
    limits = check(policy, request, language=language)
    job = _job(request, language, image, limits)
    compiler = _compiler(language, job)
    argv, env = _pid_1(request, language, image, job)
    preload = language.preload if language and argv == language.run else ()
    spec = _spec(
        policy, request, principal, image, placement, container_limits(limits, language),
        argv=argv, env=env, preload=preload,
    )  # fmt: skip
    if compiler is None:
        return Admission(spec, job)
    return Admission(spec, replace(job, files=()), compiler)


def container_limits(limits: ResolvedLimits, language: Language | None) -> ResolvedLimits:
    """The limits of a run's container: they hold its compiler as well, where ``language`` has one."""
    if language is None or language.compile is None:
        return limits
    compiling = _compile_limits(limits)
    return replace(
        limits,
        wall_time=limits.wall_time + compiling.wall_time,
        cpu_time=max(limits.cpu_time, compiling.cpu_time),
        memory=max(limits.memory, compiling.memory),
    )


def _compile_limits(limits: ResolvedLimits) -> ResolvedLimits:
    return replace(
        limits,
        wall_time=limits.compile_time,
        cpu_time=limits.compile_time * limits.cpus + _CPU_GRACE,
        memory=limits.compile_memory,
    )


def _compiler(language: Language | None, job: Job) -> Job | None:
    """The job before ``job``, which makes the program of its files."""
    if language is None or language.compile is None:
        return None
    return replace(
        job, argv=language.compile, stdin=b"", limits=_compile_limits(job.limits), artifacts=(), value=None
    )


def _check_program(policy: Policy, request: RunRequest) -> None:
    if (request.code is None) == (request.command is None):
        raise InvalidRequest("Give either code or a command, and not both.")
    if request.code is None:
        if not request.command or not request.command[0]:
            raise InvalidRequest("The command is empty; give a program to run.")
        return
    if request.language is None:
        raise InvalidRequest("Code needs a language; name one, such as python.")
    if not request.code.strip():
        raise InvalidRequest("The code is empty; give a program to run.")
    size = len(request.code.encode(errors="surrogatepass"))
    if size > policy.ceilings.code:
        raise LimitExceeded(
            f"The code has {size} bytes; the ceiling max_code is {policy.ceilings.code}. Send it as a file."
        )


def _check_program_file(request: RunRequest, language: Language | None) -> None:
    if request.code is None or language is None:
        return
    for file in request.files:
        # A folder that holds the program itself is fine; another file would be lost.
        if PurePosixPath(file.path) == PurePosixPath(language.file) and file.data != request.code.encode():
            raise InvalidRequest(
                f"The program itself is put into {language.file!r}; give that file another name."
            )


def _check_artifacts(request: RunRequest) -> None:
    if isinstance(request.artifacts, str):
        raise InvalidRequest("artifacts must be a list of patterns, such as ['*.png'].")
    if len(request.artifacts) > MAX_PATTERNS:
        raise InvalidRequest(f"At most {MAX_PATTERNS} patterns of artifacts can be given.")
    for pattern in request.artifacts:
        _encodable("patterns of artifacts", pattern)
        if not pattern or any(sign in pattern for sign in "/[\0") or len(pattern.encode()) > MAX_NAME:
            raise InvalidRequest(
                f"{pattern[:100]!r} is not a pattern of file names at the top of the workspace; "
                "use * and ?, as in *.png."
            )


def _check_value(request: RunRequest, language: Language | None) -> None:
    if request.value is None:
        return
    if not isinstance(request.value, bytes):
        raise InvalidRequest("value must be bytes that hold JSON, as json.dumps(…).encode() makes them.")
    if request.code is None:
        raise InvalidRequest("A command cannot be called with a value; give code with a function instead.")
    if language is not None and language.function is None:
        able = ", ".join(each.name for each in load_languages() if each.function is not None)
        raise InvalidRequest(f"{language.name} has no functions that can be called here; use one of: {able}.")
    if len(request.value) > MAX_VALUE:
        raise InvalidRequest(
            f"The value has {len(request.value)} bytes, more than {MAX_VALUE}; send it as a file."
        )


def _check_words(request: RunRequest) -> None:
    words = [*(request.command or ()), *request.args]
    if any("\0" in word for word in (request.code or "", *words)):
        raise InvalidRequest("Code and arguments cannot contain NUL characters.")
    if len(words) > hardening.MAX_ARGS or sum(map(len, words)) > hardening.MAX_ARG_BYTES:
        raise InvalidRequest(
            f"More than {hardening.MAX_ARGS} arguments or {hardening.MAX_ARG_BYTES} bytes of them; "
            "send them as a file or on stdin."
        )
    _check_env(request.env)
    _encodable("code, arguments and environment", request.code or "", *words, *request.env.values())


def _check_env(env: Mapping[str, str]) -> None:
    for name, value in env.items():
        if not hardening.ENV_NAME.fullmatch(name):
            raise InvalidRequest(f"{name!r} is not a variable's name; use letters, digits and underscores.")
        if "\0" in value:
            raise InvalidRequest(f"The value of {name} cannot contain NUL characters.")
    size = sum(len(name) + len(value) + 2 for name, value in env.items())
    if len(env) > hardening.MAX_ENV or size > hardening.MAX_ENV_BYTES:
        raise InvalidRequest(
            f"More than {hardening.MAX_ENV} variables or {hardening.MAX_ENV_BYTES} bytes of them; "
            "send them as a file."
        )


def _encodable(what: str, *texts: str) -> None:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"The {what} must be text that UTF-8 can encode.") from None


def _resolve_limits(policy: Policy, request: RunRequest) -> ResolvedLimits:
    asked = request.limits
    values = {name: getattr(asked, name) or getattr(policy, name) for name in _NUMBERS}
    for name in _SIZES:
        given = getattr(asked, name)
        values[name] = getattr(policy, name) if given is None else parse_size(given, name=name)
    values["cpu_time"] = (
        asked.cpu_time or policy.cpu_time or values["wall_time"] * values["cpus"] + _CPU_GRACE
    )
    for name in (*_NUMBERS, *_SIZES):
        _check_ceiling(name, values[name], getattr(policy.ceilings, name))
    if asked.cpu_time is not None:
        _check_ceiling("cpu_time", asked.cpu_time, policy.ceilings.cpu_time)
    for name in ("memory", "compile_memory"):
        if values[name] < hardening.MIN_MEMORY:
            raise InvalidRequest(
                f"{name} must be at least {hardening.MIN_MEMORY} bytes; ask for 16m or more."
            )
    if values["pids"] < hardening.MIN_PIDS:
        raise InvalidRequest(f"pids must be at least {hardening.MIN_PIDS}.")
    return ResolvedLimits(**values)


def _check_ceiling(name: str, value: float, ceiling: float) -> None:
    if value > ceiling:
        asked, most = (format_size(int(n)) if name in _SIZES else f"{n:g}" for n in (value, ceiling))
        raise LimitExceeded(f"{name} of {asked} is above the ceiling max_{name} of {most}; ask for less.")


def _job(request: RunRequest, language: Language | None, image: Image, limits: ResolvedLimits) -> Job:
    argv, files = _program(request, language, image)
    env = {**hardening.BASE_ENV, **_language_env(language, image), **request.env}
    stdin = request.stdin.encode() if isinstance(request.stdin, str) else request.stdin
    return Job(
        argv=argv,
        env=env,
        cwd=WORKSPACE,
        files=files,
        stdin=stdin,
        limits=limits,
        artifacts=tuple(request.artifacts),
        value=request.value,
    )


def _language_env(language: Language | None, image: Image) -> dict[str, str]:
    if language is None:
        return {}
    return {**language.env, **(language.agent_env if image.agent else {})}


def _pid_1(
    request: RunRequest, language: Language | None, image: Image, job: Job
) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """The container's own command and environment."""
    if not image.agent:
        return job.argv, job.env
    plain = hardening.AGENT_ARGV, hardening.BASE_ENV
    if language is None or language.warm is None or request.image is not None:
        return plain
    env = {**hardening.BASE_ENV, **_language_env(language, image)}
    if (job.argv, job.env) != (language.run, env) or job.value is not None:
        return plain  # the interpreter that waits could not take it
    return (language.run if language.warm == FORK else (*hardening.AGENT_ARGV, *language.run)), env


def _program(
    request: RunRequest, language: Language | None, image: Image
) -> tuple[tuple[str, ...], tuple[InputFile, ...]]:
    if not image.agent and request.files:
        raise InvalidRequest(
            f"Image {image.name!r} has no sandbox_runner agent, so it cannot take files; "
            "use one of our images, or send the data on stdin."
        )
    if not image.agent and request.value is not None:
        raise InvalidRequest(
            f"Image {image.name!r} has no sandbox_runner agent, so no function can be called in it; "
            "leave the image out."
        )
    if request.command is not None:
        return (*request.command, *request.args), tuple(request.files)
    assert language is not None
    assert request.code is not None
    if not image.agent:
        return (*_inline(language, request.code), *request.args), ()
    code = InputFile(language.file, request.code.encode())
    argv = language.run if request.value is None else language.function
    assert argv is not None
    return (*argv, *request.args), (*request.files, code)


def _inline(language: Language, code: str) -> tuple[str, ...]:
    if not language.inline:
        raise InvalidRequest(
            f"{language.name} cannot run in an image without the sandbox_runner agent; leave the image out."
        )
    if len(code.encode()) > hardening.MAX_INLINE:
        raise InvalidRequest(
            f"In an image without the agent code is limited to {hardening.MAX_INLINE} bytes."
        )
    return tuple(word.replace("{code}", code) for word in language.inline)


def _spec(
    policy: Policy,
    request: RunRequest,
    principal: Principal,
    image: Image,
    placement: Placement,
    limits: ResolvedLimits,
    *,
    argv: tuple[str, ...],
    env: Mapping[str, str],
    preload: tuple[str, ...],
) -> ContainerSpec:
    return ContainerSpec(
        name=f"sandbox-runner-{placement.run_id}",
        image=image,
        argv=argv,
        env=env,
        uid=placement.uid,
        gid=placement.uid,
        cwd=WORKSPACE,
        hostname=hardening.HOSTNAME,
        limits=limits,
        tmpfs=_tmpfs(limits, placement.uid),
        shm_size=hardening.SHM_SIZE,
        rlimits=_rlimits(limits, image),
        seccomp=request.profile or policy.profile,
        capabilities=(),
        no_new_privileges=True,
        read_only_root=True,
        network="none",
        masked_paths=hardening.MASKED_PATHS,
        readonly_paths=hardening.READONLY_PATHS,
        oom_score_adj=hardening.OOM_SCORE_ADJ,
        labels=_labels(request, principal, placement, limits),
        oci_runtime=policy.oci_runtime,
        cgroup_parent=policy.cgroup_parent,
        preload=preload,
    )


def _tmpfs(limits: ResolvedLimits, uid: int) -> tuple[Tmpfs, ...]:
    return (
        Tmpfs(path=WORKSPACE, size=limits.workspace, inodes=16384, mode=0o700, exec=True, uid=uid),
        Tmpfs(path="/tmp", size=limits.tmp, inodes=4096, mode=0o1777, exec=False),  # noqa: S108 - the container's
    )


def _rlimits(limits: ResolvedLimits, image: Image) -> tuple[Rlimit, ...]:
    # Few values, so that one waiting container serves runs of different times.
    step = hardening.RLIMIT_CPU_STEP if image.agent else 1
    cpu = math.ceil((math.ceil(limits.cpu_time) + hardening.RLIMIT_CPU_GRACE) / step) * step
    fsize = max(limits.workspace, limits.tmp) + hardening.RLIMIT_FSIZE_GRACE
    return (*hardening.RLIMITS, Rlimit("cpu", cpu, cpu), Rlimit("fsize", fsize, fsize))


def _labels(
    request: RunRequest, principal: Principal, placement: Placement, limits: ResolvedLimits
) -> dict[str, str]:
    deadline = placement.created + math.ceil(limits.wall_time) + hardening.LEASE_GRACE
    return {
        hardening.LABEL_MANAGED: "1",
        hardening.LABEL_INSTANCE: placement.instance,
        hardening.LABEL_OWNER: placement.owner,
        hardening.LABEL_RUN: placement.run_id,
        hardening.LABEL_PRINCIPAL: principal.id,
        hardening.LABEL_LANGUAGE: request.language or "",
        hardening.LABEL_CREATED: str(placement.created),
        hardening.LABEL_DEADLINE: str(deadline),
    }


def _words(patterns: tuple[str, ...]) -> str:
    return ", ".join(patterns) or "none"
