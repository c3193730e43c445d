"""`sandbox-runner languages`: what programs may be written in, and what makes it ready."""

import argparse
import json

from sandbox_runner.cli.exits import emit
from sandbox_runner.cli.images import BUILT, image_rows
from sandbox_runner.cli.parsing import add_settings
from sandbox_runner.cli.table import emit_table
from sandbox_runner.errors import EngineError
from sandbox_runner.languages import Language, load_languages

EXAMPLES = """\
sandbox-runner languages
sandbox-runner languages --engine oci
sandbox-runner languages --json | jq -r '.[] | select(.ready).name'"""
_HEADINGS = ("LANGUAGE", "STATUS", "ALIASES", "EXTENSIONS", "IMAGE", "PACKAGES")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `languages`."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--engine", metavar="E", help="the container engine: auto, docker or oci")
    add_settings(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Lists the languages of this installation by name; what is not `built` shows how to get it."""
    languages = load_languages()
    ready = _ready(arguments)
    if arguments.json:
        emit(json.dumps([_document(language, ready) for language in languages]))
    else:
        emit_table(_HEADINGS, [_row(language, ready, arguments.engine) for language in languages])
    return 0


def _ready(arguments: argparse.Namespace) -> frozenset[str] | None:
    """The images that are built and current; None where no engine answers."""
    try:
        return frozenset(name for name, status, *_ in image_rows(arguments) if status == BUILT)
    except EngineError:
        return None


def _row(language: Language, ready: frozenset[str] | None, engine: str | None) -> tuple[str, ...]:
    if ready is None:
        status = "unknown: no engine answers"
    elif language.image in ready:
        status = BUILT
    else:
        option = "--engine oci " if engine == "oci" else ""
        status = f"sandbox-runner setup {option}--languages {language.name}"
    lists = (language.aliases, language.extensions, (language.image,), language.packages)
    return (language.name, status, *(" ".join(words) or "-" for words in lists))


def _document(language: Language, ready: frozenset[str] | None) -> dict[str, object]:
    return {
        "name": language.name,
        "ready": None if ready is None else language.image in ready,
        "aliases": language.aliases,
        "extensions": language.extensions,
        "image": language.image,
        "packages": language.packages,
    }
