"""Reads programs/*.txt: programs that behave alike whether their interpreter waited for them or not.

=== what the program is about
its text
--- stdin                 what it reads; with `no newline` the last one is cut off, with `crlf` …
--- file NAME             another file in its workspace
"""

import re
from pathlib import Path

from warm_client import Program

FOLDER = Path(__file__).with_name("programs")


def read_programs(path: Path) -> dict[str, Program]:
    """The programs of a file by what they are about."""
    sections = re.split(r"^=== (.+)\n", path.read_text(), flags=re.MULTILINE)
    assert sections[0] == ""
    names, texts = sections[1::2], sections[2::2]
    assert len(names) == len(set(names))
    return {name: _program(text) for name, text in zip(names, texts, strict=True)}


def _program(text: str) -> Program:
    parts = re.split(r"^--- (stdin.*|file .+)\n", text, flags=re.MULTILINE)
    stdin, files = b"", {}
    for heading, content in zip(parts[1::2], parts[2::2], strict=True):
        kind, _, rest = heading.partition(" ")
        if kind == "file":
            files[rest] = content.encode()
        else:
            stdin = _stdin(content, rest).encode()
    return Program(parts[0].encode(), stdin, files)


def _stdin(content: str, how: str) -> str:
    if how == "crlf":
        return content.replace("\n", "\r\n")
    return content.removesuffix("\n") if how == "no newline" else content


BYTES = {
    "empty": b"",
    "byte order mark": b"\xef\xbb\xbfprint('after the mark')",
    "byte order mark and another encoding": b"\xef\xbb\xbf# coding: latin-1\nprint(1)",
    "latin-1": b"# coding: latin-1\nprint('Gr\xfc\xdfe')",
    "latin-1 in the second line": b"#!/usr/bin/python3\n# -*- coding: iso-8859-15 -*-\nprint('\xa4')",
    "latin-1 and an error": b"# coding: latin-1\ndef f(): raise ValueError('\xfc')\nf()",
    "cp1252": b"# vim: set fileencoding=cp1252 :\nprint('\x80')",
    "utf-16": "print(1)".encode("utf-16"),
    "shift_jis": "# coding: shift_jis\nprint('日本')".encode("shift_jis"),
    "unknown encoding": b"# coding: no-such\nprint(1)",
    "encoding that is none of text": b"# coding: hex\nprint(1)",
    "not utf-8": b"print('Gr\xfc\xdfe')",
    "not utf-8 in a comment": b"print(1)\n# \xff\n",
    "nul": b"print(1)\0\nprint(2)",
    "nul in a string": b"x = 'a\0b'\n",
    "carriage returns": b"print(1)\r\nprint(2)\r\n1/0\r\n",
    "old carriage returns": b"print(1)\rprint(2)\r",
    "form feed": b"\x0cprint(1)\n",
    "end of file sign": b"print(1)\n\x1a\nprint(2)\n",
    "very long line": b"x = [" + b"1, " * 50000 + b"]\nprint(len(x))\n",
    "very many lines": b"x = 1\n" * 20000 + b"1/0\n",
    "deep nesting": b"(" * 300 + b")" * 300,
    "backslash at the end": b"print(1)\\",
    "a zip file": b"PK\x03\x04 is not one",
    "a pyc file": b"\xf3\x0d\x0d\x0a" + bytes(12),
    "a shell script": b"#!/bin/sh\necho hello\n",
}
BYTE_PROGRAMS = {name: Program(code) for name, code in BYTES.items()}

IMPORTED = """import sys
before = set(sys.modules)
import {name}
print({name}.__name__, {name}.__spec__, dir({name}), [each for each in sys.modules if each not in before])
"""
IMPORTS = {
    name: Program(IMPORTED.format(name=name).encode()) for name in (FOLDER / "modules").read_text().split()
}
