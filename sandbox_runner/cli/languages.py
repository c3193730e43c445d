"""`sandbox-runner languages`: what programs may be written in."""

import argparse
import json

from sandbox_runner.cli.exits import emit
from sandbox_runner.cli.table import emit_table
from sandbox_runner.languages import Language, load_languages

EXAMPLES = """\
sandbox-runner languages
sandbox-runner languages --json | jq -r '.[].name'"""
_HEADINGS = ("LANGUAGE", "ALIASES", "EXTENSIONS", "IMAGE", "PACKAGES")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `languages`."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def execute(arguments: argparse.Namespace) -> int:
    """Lists the languages of this installation by name."""
    languages = load_languages()
    if arguments.json:
        emit(json.dumps([_document(language) for language in languages]))
    else:
        emit_table(_HEADINGS, [_row(language) for language in languages])
    return 0


def _row(language: Language) -> tuple[str, ...]:
    lists = (language.aliases, language.extensions, (language.image,), language.packages)
    return (language.name, *(" ".join(words) or "-" for words in lists))


def _document(language: Language) -> dict[str, object]:
    return {
        "name": language.name,
        "aliases": language.aliases,
        "extensions": language.extensions,
        "image": language.image,
        "packages": language.packages,
    }
