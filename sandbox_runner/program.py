"""What runs: the program of a request as words, files and an environment, and what PID 1 is beside it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sandbox_runner import hardening
from sandbox_runner.errors import InvalidRequest
from sandbox_runner.languages import IMPORT, Language
from sandbox_runner.request import InputFile, RunRequest
from sandbox_runner.spec import WORKSPACE, ArtifactCaps, Image, Job, ResolvedLimits

ALL_FILES = "**"
"""The pattern of every file."""


def make_job(
    request: RunRequest, language: Language | None, image: Image, limits: ResolvedLimits, caps: ArtifactCaps
) -> Job:
    """The job for an acceptable request. Raises InvalidRequest where the image cannot do it."""
    argv, files = _program(request, language, image)
    env = {**_base_env(image), **_language_env(language, image), **request.env}
    stdin = request.stdin.encode() if isinstance(request.stdin, str) else request.stdin
    return Job(
        argv=argv,
        env=env,
        cwd=_folder(request, image),
        files=files,
        stdin=stdin,
        limits=limits,
        artifacts=_patterns(request),
        artifact_caps=caps,
        out=None if request.out is None else Path(request.out).absolute(),
        value=b"" if request.display else request.value,
        displays=request.display,
    )


def _patterns(request: RunRequest) -> tuple[str, ...]:
    return tuple(request.artifacts) or ((ALL_FILES,) if request.out is not None else ())


def make_kernel_job(
    request: RunRequest,
    language: Language,
    image: Image,
    limits: ResolvedLimits,
    caps: ArtifactCaps,
    *,
    kernel: str,
) -> Job:
    """The job that has the kernel of this name run the request's code; the first one starts it."""
    assert language.kernel is not None
    assert request.code is not None
    job = make_job(request, language, image, limits, caps)
    code = request.code.encode()
    files = tuple(request.files)
    return replace(
        job, argv=language.kernel, files=files, value=code, displays=True, session=True, kernel=kernel
    )


def _language_env(language: Language | None, image: Image) -> dict[str, str]:
    if language is None:
        return {}
    return {**language.env, **(language.agent_env if image.agent else {})}


def pid_1(
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
    return _waiting_argv(language), env


def _waiting_argv(language: Language) -> tuple[str, ...]:
    """PID 1's, with what it starts ahead, and what that can be run with to be a kernel."""
    kernel = ("-k", language.kernel[-1]) if language.kernel and language.warm == IMPORT else ()
    return (*hardening.AGENT_ARGV, *kernel, *language.run)


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
    if not image.agent and (request.artifacts or request.out is not None):
        raise InvalidRequest(
            f"Image {image.name!r} has no sandbox_runner agent, so no file can come back from it; "
            "print what you need, or use one of our images."
        )
    if not image.agent and request.display:
        raise InvalidRequest(
            f"Image {image.name!r} has no sandbox_runner agent, so nothing is displayed in it; "
            "leave the image out."
        )
    if request.command is not None:
        return (*(request.command or _own_command(image)), *request.args), tuple(request.files)
    assert language is not None
    assert request.code is not None
    if not image.agent:
        return (*_inline(language, request.code), *request.args), ()
    code = InputFile(language.file, request.code.encode())
    argv = (
        language.display
        if request.display
        else language.function
        if request.value is not None
        else language.run
    )
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


def _own_command(image: Image) -> tuple[str, ...]:
    if not image.argv:
        raise InvalidRequest(f"Image {image.name!r} has no command of its own; give one.")
    return image.argv


def _folder(request: RunRequest, image: Image) -> str:
    """Where the program begins: its own command may be relative to where the image wants it."""
    own = request.command is not None and not request.command and not image.agent
    return image.cwd if own and image.cwd.startswith("/") else WORKSPACE


def _base_env(image: Image) -> dict[str, str]:
    """Of a foreign image its own variables, too; home and temporary files are where a run can write."""
    if image.agent:
        return dict(hardening.BASE_ENV)
    pairs = (each.partition("=") for each in image.env)
    own = {name: value for name, _, value in pairs if hardening.ENV_NAME.fullmatch(name)}
    return {**hardening.BASE_ENV, **own, **{name: hardening.BASE_ENV[name] for name in ("HOME", "TMPDIR")}}
