"""What `run` was asked for on the command line, as a RunRequest."""

import os
import sys
from argparse import Namespace
from pathlib import Path

from sandbox_runner.cli.exits import say
from sandbox_runner.cli.streams import open_stdin, piped_stdin, read_chunks
from sandbox_runner.config import Config
from sandbox_runner.errors import InvalidRequest, LimitExceeded
from sandbox_runner.files import read_files
from sandbox_runner.languages import language_for_path
from sandbox_runner.request import Limits, RunRequest, Stdin

_GIVE_ONE = "give one of -c CODE, FILE, or -- CMD ARG…; see 'sandbox-runner run --help'."


def build_request(arguments: Namespace, config: Config) -> RunRequest:
    """The request that ``arguments`` describe, with the files and the program read.

    Raises RequestRejected for what cannot be read or does not go together.
    """
    words, command = list(arguments.program or []), arguments.after_dashes
    language, code = arguments.language, arguments.code
    if words and command is not None:
        words, command = [*words, "--", *command], None  # they are the program's arguments, as written
    if command is not None:
        if code is not None or not (command or arguments.image):
            raise InvalidRequest(f"After -- comes a command, and there is no other program: {_GIVE_ONE}")
        stdin = _stdin(arguments.stdin)
    elif code is not None:
        stdin = _stdin(arguments.stdin)
    elif words and words[0] != "-":
        file = words.pop(0)
        language = language or _language_of(file)
        code = _read_program(file, config.max_code)
        stdin = _stdin(arguments.stdin)
    else:
        words = words[1:]
        code = _program_from_stdin(config.max_code, stdin=arguments.stdin, quiet=arguments.quiet)
        stdin = _stdin(arguments.stdin) if arguments.stdin else b""
    return RunRequest(
        language=language or (None if code is None else "python"),
        code=code,
        command=command,
        args=words,
        stdin=stdin,
        env=_environment(arguments.env),
        files=read_files(arguments.file, size=config.max_file_bytes, count=config.max_files),
        limits=_limits(arguments),
        artifacts=_patterns(arguments),
        out=None if arguments.out is None else Path(arguments.out),
        image=arguments.image,
        profile=arguments.profile,
        display=arguments.display,
        packages=arguments.packages,
    )


def _patterns(arguments: Namespace) -> list[str]:
    if arguments.artifact and arguments.out is None:
        raise InvalidRequest("--artifact needs a folder to write to; add --out DIR.")
    patterns: list[str] = arguments.artifact
    return patterns


def _limits(arguments: Namespace) -> Limits:
    return Limits(
        wall_time=arguments.timeout,
        cpu_time=arguments.cpu_time,
        memory=arguments.memory,
        cpus=arguments.cpus,
        pids=arguments.pids,
    )


def _stdin(source: str | None) -> Stdin:
    descriptor = piped_stdin() if source is None else open_stdin(source)
    return b"" if descriptor is None else read_chunks(descriptor)


def _environment(words: list[str]) -> dict[str, str]:
    # As docker run: NAME=VALUE gives a value, NAME alone passes ours on where there is one.
    pairs = (word.partition("=") for word in words)
    return {
        name: value if equals else os.environ[name]
        for name, equals, value in pairs
        if equals or name in os.environ
    }


def _language_of(file: str) -> str:
    language = language_for_path(file)
    if language is None:
        raise InvalidRequest(
            f"{file} has no extension of a known language; give --language, "
            "one of those that 'sandbox-runner languages' lists."
        )
    return language.name


def _read_program(file: str, size: int) -> str:
    try:
        with Path(file).open("rb") as stream:
            return _text(stream.read(size + 1), file, size)
    except FileNotFoundError:
        raise InvalidRequest(f"{file} does not exist; check the path.") from None
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read ({error.strerror}); check the path.") from None


def _program_from_stdin(size: int, *, stdin: str | None, quiet: bool) -> str:
    if stdin == "-":
        raise InvalidRequest(f"--stdin - leaves no place for the program: {_GIVE_ONE}")
    if sys.stdin is None:
        raise InvalidRequest(f"There is no program: {_GIVE_ONE}")
    if sys.stdin.isatty() and not quiet:
        say("reading the program from the terminal; end it with Ctrl-D.")
    code = _text(sys.stdin.buffer.read(size + 1), "The program on stdin", size)
    if not code.strip():
        raise InvalidRequest(f"The program on stdin is empty; {_GIVE_ONE}")
    return code


def _text(data: bytes, what: str, size: int) -> str:
    if len(data) > size:
        raise LimitExceeded(
            f"{what} has more bytes than the ceiling max_code of {size}; send data with --file."
        )
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{what} is not UTF-8 text; save it as UTF-8.") from None
