"""Lines into pieces of code that can be run: when an input is complete, and when it goes on."""

import codeop
import re
import warnings
from collections.abc import Callable, Iterator

_OPEN, _CLOSED = "([{", ")]}"
_SHELL_OPEN = frozenset({"do", "then", "case", "{"})
_SHELL_CLOSED = frozenset({"done", "fi", "esac", "}"})
_SHELL_WORDS = re.compile(
    r"(?:^|(?<=[;&|\s]))(do|then|elif|case|\{|done|fi|esac|\})(?=$|[;&|\s)])", re.MULTILINE
)
# Quotations and comments, whichever comes first; "s" also lets a quotation go over lines.
_PYTHON = re.compile(r"""'[^'\n]*'|"[^"\n]*"|#[^\n]*""")
_SHELL = re.compile(
    r"""(?s:\\.|'[^']*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`)|(?:^|(?<=\s))#[^\n]*""", re.MULTILINE
)
_OTHERS = re.compile(
    r"""(?s:\\.|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`|/\*.*?\*/)|//[^\n]*"""
)


def goes_on(language: str, text: str) -> bool:
    """Whether ``text`` is the beginning of a statement that needs more lines, as the language's prompt asks.

    >>> goes_on("python", "for i in range(3):"), goes_on("python", "print(1)")
    (True, False)
    """
    if language == "python":
        return _python_goes_on(text)
    if text.endswith("\\"):
        return True
    if language == "bash":
        return _shell_goes_on(text)
    return _unbalanced(_bare(language, text))


def statements(language: str, read_line: Callable[[bool], str | None]) -> Iterator[str]:
    """The statements that ``read_line`` gives line by line, until it gives None.

    It is told whether the line goes on from the one before.
    """
    text = ""
    while (line := read_line(bool(text))) is not None:
        text = f"{text}\n{line}" if text else line
        if text.strip() and goes_on(language, text):
            continue
        if text.strip():
            yield text
        text = ""
    if text.strip():
        yield text


def _python_goes_on(text: str) -> bool:
    if text.startswith("%%"):  # as in a notebook it is for all that follows
        return not text.endswith("\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return codeop.compile_command(text, "<input>", "single") is None
        except (SyntaxError, ValueError, OverflowError):
            return _awaits(text)


def _awaits(text: str) -> bool:
    """The same for what this interpreter refuses outside of a function; a session's takes it."""
    if not re.search(r"\b(?:await|async)\b", text):
        return False
    if not re.match(r"async\b", text):
        return _unbalanced(_bare("python", text))
    return not text.endswith("\n")


def _shell_goes_on(text: str) -> bool:
    bare = _bare("bash", text)
    if re.search(r"['\"`]", bare):  # a quotation that has not ended
        return True
    depth = 0
    for word in _SHELL_WORDS.findall(bare):
        depth += (word in _SHELL_OPEN) - (word in _SHELL_CLOSED)
    waits = re.search(
        r"(?:^|[;&|]\s*|\n\s*)(?:for|while|until|if|elif)\b(?!.*\b(?:do|then)\b)", bare, re.DOTALL
    )
    return depth > 0 or bool(waits) or bool(re.search(r"(?:\|\||&&|\|)\s*$", bare)) or _heredoc(text)


def _heredoc(text: str) -> bool:
    found = re.search(r"<<-?\s*['\"]?(\w+)['\"]?", text)
    return found is not None and not re.search(rf"^\s*{found[1]}$", text, re.MULTILINE)


def _bare(language: str, text: str) -> str:
    """``text`` without quotations and comments."""
    return {"python": _PYTHON, "bash": _SHELL}.get(language, _OTHERS).sub("", text)


def _unbalanced(bare: str) -> bool:
    depth = sum((sign in _OPEN) - (sign in _CLOSED) for sign in bare)
    return depth > 0 or bare.count("`") % 2 == 1
