"""Which files may be given back: those whose path is plain and fits a pattern. The host asks here.

PID 1 has the same rules in `pid1/patterns.c`: a test compares the two.

A path has ``/`` between its parts, and so has a pattern; ``**`` as a part of one is any number of folders.

`fnmatch` would do, at the price of loading `re` for each run.
"""

MAX_NAME = 255  # bytes, NAME_MAX of Linux
MAX_PATH = 1024  # bytes
MAX_DEPTH = 32  # parts of a path
_ANY_DEPTH = "**"
# Separators of lines and paragraphs, and what changes the direction of the text after it.
_MISLEADING = frozenset(
    "\x7f\u2028\u2029\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


def plain(name: str) -> bool:
    """Whether ``name`` can only mean a file in the folder it is used in, and shows as it is."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return False
    return (
        0 < size <= MAX_NAME
        and name not in (".", "..")
        and not any(
            sign < " " or "\x80" <= sign < "\xa0" or sign in _MISLEADING or sign == "/" for sign in name
        )
    )


def plain_path(path: str) -> bool:
    """Whether all parts of ``path`` are `plain`, and it is neither too long nor too deep.

    >>> plain_path("plots/a.png"), plain_path("../a.png"), plain_path("/a.png"), plain_path("a//b")
    (True, False, False, False)
    """
    parts = path.split("/")
    return len(parts) <= MAX_DEPTH and all(map(plain, parts)) and len(path.encode()) <= MAX_PATH


def fits(path: str, pattern: str) -> bool:
    """Whether all of ``path`` fits ``pattern``, part by part.

    >>> fits("a.png", "*.png"), fits("plots/a.png", "*.png"), fits("plots/a.png", "**/*.png")
    (True, False, True)
    """
    names, parts = path.split("/"), pattern.split("/")
    at = part = 0
    retry, skipped = -1, 0  # the part after the last ``**``, and how many names that one has taken so far
    while at < len(names):
        if part < len(parts) and parts[part] == _ANY_DEPTH:
            part += 1
            retry, skipped = part, at
        elif part < len(parts) and matches(names[at], parts[part]):
            at, part = at + 1, part + 1
        elif retry >= 0:
            skipped += 1
            at, part = skipped, retry
        else:
            return False
    return part == len(parts)


def matches(name: str, pattern: str) -> bool:
    """Whether all of ``name`` fits ``pattern``: ``*`` is any text, ``?`` any character, the rest itself.

    >>> matches("figure-1.png", "*.png"), matches("figure-1.png", "figure.???")
    (True, False)
    """
    first, *others = pattern.split("*")
    if not others:
        return len(name) == len(pattern) and _fits(name, pattern, 0)
    *middle, last = others
    end = len(name) - len(last)
    if len(first) > end or not _fits(name, first, 0) or not _fits(name, last, end):
        return False
    position = len(first)
    for part in middle:
        while not _fits(name, part, position) and position <= end:
            position += 1
        position += len(part)
    return position <= end


def _fits(name: str, part: str, start: int) -> bool:
    here = name[start : start + len(part)]
    return len(here) == len(part) and all(want in ("?", is_) for want, is_ in zip(part, here, strict=True))
