"""Refuses what can be refused without an engine, and resolves the limits of what cannot."""

import os.path
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from sandbox_runner import hardening
from sandbox_runner.agent.patterns import plain_path
from sandbox_runner.agent.protocol import MAX_PATTERNS, MAX_VALUE
from sandbox_runner.definitions import PACKAGES
from sandbox_runner.errors import InvalidRequest, LimitExceeded, NotPermitted
from sandbox_runner.files import check_files
from sandbox_runner.languages import Language, load_languages
from sandbox_runner.policy.rules import CPU_GRACE, Policy
from sandbox_runner.request import RunRequest, format_size, parse_size
from sandbox_runner.requirements import check_permitted, parse_requirements
from sandbox_runner.spec import (
    ResolvedLimits,
)

_SIZES = ("memory", "workspace", "tmp", "capture", "output", "compile_memory")
_NUMBERS = ("wall_time", "cpus", "pids", "compile_time")
# What a name may consist of: it becomes a part of the engine API's paths.
_IMAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]|[/:@](?=[A-Za-z0-9])){0,511}")


def check(policy: Policy, request: RunRequest, *, language: Language | None) -> ResolvedLimits:
    """The limits of an acceptable request.

    Raises InvalidRequest, LimitExceeded or NotPermitted, each naming what to change.
    """
    _check_program(policy, request)
    _check_words(request)
    check_files(request.files, count=policy.ceilings.files, size=policy.ceilings.file_bytes)
    _check_program_file(request, language)
    _check_artifacts(request)
    _check_out(request.out)
    _check_value(request, language)
    _check_display(request, language)
    _check_packages(policy, request, language)
    if request.image is not None and not _IMAGE.fullmatch(request.image):
        raise InvalidRequest(
            f"{request.image[:100]!r} is not an image's name; give one such as debian:stable."
        )
    if request.image is not None and request.image.startswith(PACKAGES):
        raise NotPermitted("An image with packages cannot be named; name the packages.")
    if request.image is not None and not any(fnmatchcase(request.image, p) for p in policy.images):
        raise NotPermitted(f"Image {request.image!r} is not allowed here; allowed: {_words(policy.images)}.")
    profile = request.profile or policy.profile
    if profile not in policy.profiles:
        raise NotPermitted(f"Profile {profile!r} is not allowed here; allowed: {_words(policy.profiles)}.")
    return _resolve_limits(policy, request)


def _check_program(policy: Policy, request: RunRequest) -> None:
    if (request.code is None) == (request.command is None):
        raise InvalidRequest("Give either code or a command, and not both.")
    if request.code is None:
        own = not request.command and request.image is not None
        if not own and (not request.command or not request.command[0]):
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
        if not plain_path(pattern) or "[" in pattern:
            raise InvalidRequest(
                f"{pattern[:100]!r} is not a pattern of paths in the workspace; "
                "use * and ? in names and ** for folders, as in *.png or plots/**."
            )


def _check_out(out: Path | None) -> None:
    if out is None:
        return
    if not isinstance(out, str | Path) or not str(out) or "\0" in str(out):
        raise InvalidRequest("out must be the path of a folder, such as Path('results').")
    if not Path(out).is_dir() and os.path.lexists(out):
        raise InvalidRequest(f"{out} is there and is no folder; give the path of a folder.")


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


def _check_display(request: RunRequest, language: Language | None) -> None:
    if not request.display:
        return
    if request.code is None or request.value is not None:
        raise InvalidRequest("display goes with code, and not with a command or a value; leave it out.")
    if language is not None and language.display is None:
        able = ", ".join(each.name for each in load_languages() if each.display is not None)
        raise InvalidRequest(f"{language.name} displays nothing; leave display out, or use one of: {able}.")


def _check_packages(policy: Policy, request: RunRequest, language: Language | None) -> None:
    if not request.packages:
        return
    if language is None or language.installer is None:
        able = ", ".join(each.name for each in load_languages() if each.installer is not None)
        raise InvalidRequest(f"Packages can be added to programs in these languages only: {able}.")
    if request.image is not None:
        raise InvalidRequest("Packages cannot be added to an image that is named; leave the image out.")
    check_permitted(
        parse_requirements(request.packages, installer=language.installer),
        installer=language.installer,
        allowed=policy.packages,
        refused=policy.refused_packages,
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
    values["cpu_time"] = asked.cpu_time or policy.cpu_time or values["wall_time"] * values["cpus"] + CPU_GRACE
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


def _words(patterns: tuple[str, ...]) -> str:
    return ", ".join(patterns) or "none"
