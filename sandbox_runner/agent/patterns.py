"""Which files may be given back: plain names that match a pattern. Both sides ask here.

`fnmatch` would do, at the price of loading `re` into each container.
"""

MAX_NAME = 255  # bytes, NAME_MAX of Linux
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
