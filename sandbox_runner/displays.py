"""What a program displayed, as notebooks have it: each a value in several forms, by MIME type.

A line of JSON for each, ``{"data": {"text/plain": "…"}, "metadata": {}}``; text is as it is, and binary
data in base64. All of it is hostile until it is parsed here.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

Display = Mapping[str, str]

MAX_DISPLAYS = 1000
MAX_FORMS = 32  # of one display
_MAX_FRAME = 4096  # strings of a line, and characters that are in none
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_MIME_TYPE = re.compile(r"[a-z]+/[A-Za-z0-9][A-Za-z0-9.+-]{0,99}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*+={0,2}")
_TEXTS = ("image/svg+xml", "application/json", "application/javascript")


def is_text(mime_type: str) -> bool:
    """Whether a form of this type is text as it is, and not base64."""
    return mime_type.startswith("text/") or mime_type in _TEXTS or mime_type.endswith(("+json", "+xml"))


def parse_displays(data: bytes) -> tuple[tuple[Display, ...], int]:
    """The displays in ``data``, and the number of lines that are none or too many.

    >>> parse_displays(b'{"data":{"text/plain":"1"},"metadata":{}}\\nnone')
    (({'text/plain': '1'},), 1)
    """
    *lines, rest = data.split(b"\n", MAX_DISPLAYS)
    displays = [_parse(line) for line in (lines if len(lines) == MAX_DISPLAYS else [*lines, rest]) if line]
    good = tuple(display for display in displays if display is not None)
    beyond = rest.rstrip(b"\n").count(b"\n") + 1 if rest and len(lines) == MAX_DISPLAYS else 0
    return good, len(displays) - len(good) + beyond


def _parse(line: bytes) -> Display | None:
    try:
        text = line.decode()
        if not _is_mostly_text(text):
            return None
        forms = _forms(json.loads(text))
        for form in forms.values():
            form.encode()  # a lone surrogate is no text that can be passed on
    except (ValueError, RecursionError):
        return None
    return forms


def _is_mostly_text(line: str) -> bool:
    """Whether its JSON is little but long strings, so that parsing it costs little more than those."""
    frame = end = 0
    while (start := line.find('"', end)) >= 0:
        string = _STRING.match(line, start)
        frame += start - end + 1
        if string is None or frame > _MAX_FRAME:
            return False
        end = string.end()
    return frame + len(line) - end <= _MAX_FRAME


def _forms(document: Any) -> dict[str, str]:  # noqa: ANN401 - whatever a program wrote
    """Raises ValueError where ``document`` is no display."""
    if not isinstance(document, dict) or document.keys() - {"data", "metadata"}:
        raise ValueError("no display")
    forms = document.get("data")
    if not isinstance(forms, dict) or not 0 < len(forms) <= MAX_FORMS:
        raise ValueError("no forms")
    for mime_type, form in forms.items():
        if not _MIME_TYPE.fullmatch(mime_type) or not isinstance(form, str):
            raise ValueError("no form")
        if not is_text(mime_type) and (len(form) % 4 or not _BASE64.fullmatch(form)):
            raise ValueError("no base64")
    return forms
