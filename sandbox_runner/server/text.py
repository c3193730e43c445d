"""What programs print, made fit for a model to read and for a terminal to show."""

import re

# A control character may move the cursor, hide text or ring; a direction override or a tag
# character shows a person something else than a model reads (CVE-2021-42574).
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_PICTURES = 0x2400  # Unicode's control pictures: ␀ … ␟
_DELETE = 0x7F


def neutral(text: str) -> str:
    """``text`` with each harmful character replaced by a visible one; line ends become newlines.

    >>> neutral("\\x1b[31mred\\r\\n")
    '␛[31mred\\n'
    """
    return _HARMFUL.sub(_visible, text.replace("\r\n", "\n"))


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(_PICTURES + code)
    return "␡" if code == _DELETE else f"<U+{code:04X}>"


def whole_characters(data: bytes) -> bytes:
    """``data`` without the UTF-8 character that its end cuts, so that the next piece begins with it."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue  # within a character
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return data[:-back] if length > back and back < len(data) else data
    return data
