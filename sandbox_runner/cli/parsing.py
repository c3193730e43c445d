"""Command lines into arguments: one parser per command, all of them together for help and completion."""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NoReturn, Protocol, cast

from sandbox_runner import __version__
from sandbox_runner.errors import InvalidRequest

PROG = "sandbox-runner"
_TOP_EXAMPLES = """\
sandbox-runner setup
sandbox-runner run -c 'print(2**100)'
sandbox-runner run --timeout 5 --memory 256m analysis.py
sandbox-runner doctor"""


class Command(Protocol):
    """What a command's module offers."""

    EXAMPLES: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def execute(self, arguments: argparse.Namespace) -> int: ...


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are ours: one sentence, raised as InvalidRequest."""

    def error(self, message: str) -> NoReturn:
        raise InvalidRequest(f"{message}; see '{self.prog} --help'.")


def parse_command(name: str, summary: str, words: Sequence[str]) -> tuple[Command, argparse.Namespace]:
    """The command ``name`` and its arguments, as ``words`` say; what follows `--` is in ``after_dashes``.

    Raises InvalidRequest, and SystemExit after --help.
    """
    command = _load(name)
    parser = Parser(prog=f"{PROG} {name}", **_texts(summary, command.EXAMPLES))
    command.add_arguments(parser)
    dashes = words.index("--") if "--" in words else len(words)
    arguments = parser.parse_args(words[:dashes])
    arguments.after_dashes = list(words[dashes + 1 :]) if dashes < len(words) else None
    return command, arguments


def parse_top(commands: Mapping[str, str], words: Sequence[str]) -> NoReturn:
    """Raises SystemExit after --help and --version, InvalidRequest for anything else."""
    parser, _ = _top(commands, help_of_commands=argparse.SUPPRESS)
    if not words:
        raise InvalidRequest(f"give a command: {', '.join(commands)}; see '{PROG} --help'.")
    if not words[0].startswith("-"):
        raise InvalidRequest(
            f"{words[0]!r} is not a command{_meant(words[0], commands)}; see '{PROG} --help'."
        )
    parser.parse_args(words)
    raise AssertionError("a command is required")


def full_parser(
    commands: Mapping[str, str],
) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser of everything, and the parsers of the commands in it by name; for completion."""
    parser, subparsers = _top(commands, help_of_commands=None)
    for name, subparser in subparsers.items():
        _load(name).add_arguments(subparser)
    return parser, subparsers


def add_settings(parser: argparse.ArgumentParser, *, whose: str = "this command only") -> None:
    """Adds --set to the parser of a command that reads the settings; ``whose`` they are is shown."""
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help=f"a setting for {whose}; 'sandbox-runner config' lists them",
    )


def settings(arguments: argparse.Namespace) -> dict[str, str]:
    """What --set gave, as flags for `load_config`. Raises InvalidRequest for one without '='."""
    flags = {}
    for word in arguments.settings:
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidRequest(f"--set {word} has no value; write --set {word}=VALUE.")
        flags[name] = value
    return flags


def _load(name: str) -> Command:
    return cast(Command, import_module(f"sandbox_runner.cli.{name}"))


def _top(
    commands: Mapping[str, str], *, help_of_commands: str | None
) -> tuple[Parser, dict[str, argparse.ArgumentParser]]:
    texts = _texts("Run untrusted programs in sealed, single-use containers.", _TOP_EXAMPLES)
    # argparse's own list of subcommands breaks the line after the longer names, but completion needs it.
    listed = "\n".join(f"  {name:<12}{summary}" for name, summary in commands.items())
    texts["epilog"] = f"commands:\n{listed}\n\n{texts['epilog']}"
    parser = Parser(prog=PROG, usage=f"{PROG} COMMAND [OPTION]…", **texts)
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, help=help_of_commands)
    return parser, {name: subparsers.add_parser(name, help=summary) for name, summary in commands.items()}


def _texts(summary: str, examples: str) -> dict[str, Any]:
    indented = "\n".join(f"  {line}" for line in examples.splitlines())
    return {
        "description": summary,
        "epilog": f"examples:\n{indented}",
        "formatter_class": partial(argparse.RawDescriptionHelpFormatter, max_help_position=28),
        "allow_abbrev": False,
    }


def _meant(word: str, commands: Mapping[str, str]) -> str:
    import difflib  # noqa: PLC0415 - only where something is wrong

    close = difflib.get_close_matches(word, commands, n=1)
    return f", did you mean {close[0]}?" if close else ""
