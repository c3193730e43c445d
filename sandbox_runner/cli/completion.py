"""`sandbox-runner completion`: a script with which a shell completes our command line."""

import argparse

from sandbox_runner.cli.exits import emit

EXAMPLES = """\
source <(sandbox-runner completion bash)
sandbox-runner completion bash > /etc/bash_completion.d/sandbox-runner
sandbox-runner completion zsh > ~/.zfunc/_sandbox-runner
sandbox-runner completion fish > ~/.config/fish/completions/sandbox-runner.fish"""
_FILES = {"program", "stdin", "file"}  # arguments that name a file
_FOLDERS = {"out"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `completion`."""
    from shtab import SUPPORTED_SHELLS  # noqa: PLC0415 - for this command only

    parser.add_argument("shell", choices=SUPPORTED_SHELLS, help="the shell to write for")


def execute(arguments: argparse.Namespace) -> int:
    """Prints the script."""
    import shtab  # noqa: PLC0415 - for this command only

    from sandbox_runner.cli import COMMANDS  # noqa: PLC0415 - it imports this module
    from sandbox_runner.cli.parsing import full_parser  # noqa: PLC0415

    parser, commands = full_parser(COMMANDS)
    for command in commands.values():
        for action in command._actions:
            if action.dest in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined] # where shtab looks for it
            elif action.dest in _FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined] # as above
    emit(shtab.complete(parser, shell=arguments.shell))
    return 0
