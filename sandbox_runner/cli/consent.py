"""Asking before this machine is changed."""

import sys

from sandbox_runner.cli.exits import say


def consents(sentence: str, *, yes: bool) -> bool:
    """Whether what ``sentence`` tells may be done: told by --yes, or asked where someone can answer."""
    if yes:
        say(sentence)
        return True
    if not can_ask():
        return False
    try:
        answer = input(f"{sentence} Go ahead? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def can_ask() -> bool:
    """Whether someone reads our questions and can answer."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))
