"""The code blocks of a Markdown document, as programs with the output that the document promises.

A ```python block is a program; a ```text block that comes next, with no other block between, is what it
prints. In a ```console block each line that begins with ``$ `` is a command, and the lines up to the next
one are what it prints, on stdout and stderr together. In what is printed ``…`` stands for anything.
"""

import re
from dataclasses import dataclass

_FENCE = re.compile(r"^(`{3,})([\w-]*)\s*$")
_PROMPT = "$ "


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; ``line`` is the number of its first line of text."""

    language: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Program:
    """Code, and what it must print; None where the document does not say."""

    code: str
    printed: str | None
    line: int


def blocks(document: str) -> list[Block]:
    """All fenced blocks in order. Raises ValueError for one that is not closed."""
    found: list[Block] = []
    fence, language, start, lines = "", "", 0, [""]
    for number, line in enumerate(document.splitlines(), 1):
        match = _FENCE.match(line)
        if not fence and match:
            fence, language, start, lines = match[1], match[2], number + 1, []
        elif fence and line.rstrip() == fence:
            found.append(Block(language, "".join(f"{text}\n" for text in lines), start))
            fence = ""
        elif fence:
            lines.append(line)
    if fence:
        raise ValueError(f"the block at line {start} is not closed")
    return found


def programs(document: str) -> list[Program]:
    """The Python programs of a document."""
    found = blocks(document)
    after = [*found[1:], Block("", "", 0)]
    return [
        Program(block.text, following.text if following.language == "text" else None, block.line)
        for block, following in zip(found, after, strict=True)
        if block.language == "python"
    ]


def commands(document: str) -> list[Program]:
    """The commands of a document's console blocks. Raises ValueError for output that no command prints."""
    return [
        command for block in blocks(document) if block.language == "console" for command in _session(block)
    ]


def _session(block: Block) -> list[Program]:
    found: list[tuple[str, int, list[str]]] = []
    for number, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith(_PROMPT):
            found.append((line.removeprefix(_PROMPT), number, []))
        elif found:
            found[-1][2].append(line)
        else:
            raise ValueError(f"line {number} is output, but no command comes before it")
    return [Program(code, "".join(f"{text}\n" for text in lines), number) for code, number, lines in found]


def matches(printed: str, promised: str) -> bool:
    """Whether ``printed`` is what was promised; ``…`` alone on a line may also stand for no line at all."""
    pattern = re.escape(promised)
    pattern = re.sub(r"(?m)^…\\?\n", r"(?:.*\\n)*", pattern).replace("…", ".*")
    whole = printed if not printed or printed.endswith("\n") else f"{printed}\n"
    return re.fullmatch(pattern, whole) is not None
