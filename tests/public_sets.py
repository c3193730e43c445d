"""Reads public sets of programs, which are not part of this repository, from where they were cloned to.

HumanEval-X  github.com/THUDM/CodeGeeX (Apache-2.0): 164 problems, each with a solution and a test, in
             each of six languages; TypeScript runs those in JavaScript
Piston       github.com/engineer-man/piston (MIT): packages/NAME/VERSION/test.*, each of which prints OK; the
             newest version of those whose language is one of ours
"""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HUMANEVAL, PISTON = SETS = ("HumanEval-X", "Piston")

_PACKAGES = {
    "bash": "bash", "clojure": "clojure", "cobol": "cobol", "dash": "bash", "deno": "typescript",
    "dotnet": "c#", "elixir": "elixir", "erlang": "erlang", "gawk": "awk", "go": "go", "groovy": "groovy",
    "haskell": "haskell", "java": "java", "kotlin": "kotlin", "lisp": "common-lisp", "lua": "lua",
    "mono": "c#", "nasm": "nasm", "node": "javascript", "ocaml": "ocaml", "octave": "octave",
    "pascal": "pascal", "perl": "perl", "php": "php", "prolog": "prolog", "python": "python",
    "racket": "racket", "rscript": "r", "ruby": "ruby", "rust": "rust", "scala": "scala",
    "sqlite3": "sqlite", "typescript": "typescript",
}  # fmt: skip
_GCC = {"c": "c", "cpp": "c++", "d": "d", "f90": "fortran"}
_NOT_OURS = (".fs", ".fsx", ".vb")

# What the set's own evaluation puts before each problem.
_PYTHON = """\
import math, re, sys, copy, datetime, itertools, collections, heapq, statistics, functools, hashlib, string
import numpy
import numpy as np
from typing import *
from collections import *
"""
_CPP = ("stdlib.h", "algorithm", "math.h", "stdio.h", "vector", "string", "climits", "cstring", "iostream")
_GO = (
    "bytes", "crypto/md5", "fmt", "math", "math/rand", "reflect", "regexp", "sort", "strconv", "strings",
    "testing", "time",
)  # fmt: skip
_CRATES = ("rand", "regex", "md5")
# In place of github.com/stretchr/testify, which a program without a network has not got.
_TESTIFY = """
type asserting struct{}
var assert asserting
func (asserting) New(*testing.T) asserting { return assert }
func (asserting) Equal(expected, actual any, _ ...any) {
    if !reflect.DeepEqual(expected, actual) { panic(fmt.Sprintf("%#v is not %#v", actual, expected)) }
}
"""


@dataclass(frozen=True)
class Program:
    """One program of a set, and what it must print; nothing else on stderr where ``quiet``."""

    set: str
    language: str
    name: str
    code: str
    prints: str = ""
    quiet: bool = False


def humaneval(folder: Path) -> Iterator[Program]:
    """The problems of HumanEval-X with their solutions and tests, as programs."""
    for name, (languages, program) in _HUMANEVAL.items():
        path = next(folder.rglob(f"humaneval_{name}.jsonl.gz"))
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            problem = json.loads(line)
            for language in languages:
                yield Program(HUMANEVAL, language, problem["task_id"], program(problem), quiet=name == "js")


def piston(folder: Path) -> Iterator[Program]:
    """The tests of Piston's packages in languages of ours."""
    newest: dict[tuple[str, str], Path] = {}
    for path in sorted(folder.glob("packages/*/*/test.*"), key=_version):
        newest[path.parent.parent.name, path.name] = path
    for (package, name), path in sorted(newest.items()):
        language = _GCC[path.suffix[1:]] if package == "gcc" else _PACKAGES.get(package)
        if language and path.suffix not in _NOT_OURS:
            yield Program(PISTON, language, f"{package}/{name}", path.read_text("utf-8"), "OK")


def _version(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path.parent.name)]


def _python(problem: dict[str, str]) -> str:
    return f"{_PYTHON}{problem['prompt']}{problem['canonical_solution']}\n{problem['test']}\n"


def _cpp(problem: dict[str, str]) -> str:
    headers = "".join(f"#include<{name}>\n" for name in _CPP)
    return f"{headers}{_plain(problem)}"


def _plain(problem: dict[str, str]) -> str:
    return f"{problem['prompt']}{problem['canonical_solution']}\n{problem['test']}"


def _go(problem: dict[str, str]) -> str:
    call = re.search(r"func (Test\w+)", problem["test"])
    assert call
    body = f"{problem['prompt'].replace(problem['import'], '')}{problem['canonical_solution']}"
    program = f"{_TESTIFY}{body}\n{problem['test']}\nfunc main() {{ {call[1]}(nil) }}\n"
    code = re.sub(r"//.*", "", program)
    imports = "".join(f'import "{name}"\n' for name in _GO if re.search(rf"\b{Path(name).name}\.", code))
    return f"package main\n{imports}{program}"


def _rust(problem: dict[str, str]) -> str:
    body = f"{problem['canonical_solution']}{problem['test']}"
    declaration = problem["declaration"]
    for crate, word in zip(_CRATES, ("rand::", "Regex", "md5"), strict=True):
        if word not in body:
            declaration = re.sub(rf"^use {crate}\b.*\n", "", declaration, flags=re.MULTILINE)
    names = re.findall(r"#\[test\]\s+fn (\w+)", problem["test"])
    tests = problem["test"].replace("#[cfg(test)]", "")
    tests = re.sub(r"#\[test\]\s+fn", "pub fn", tests)
    main = "".join(f"tests::{name}(); " for name in names)
    return f"{declaration}{problem['canonical_solution']}{tests}\nfn main() {{ {main}}}\n"


_HUMANEVAL: dict[str, tuple[tuple[str, ...], Callable[[dict[str, str]], str]]] = {
    "python": (("python",), _python),
    "js": (("javascript", "typescript"), _plain),
    "cpp": (("c++",), _cpp),
    "go": (("go",), _go),
    "java": (("java",), _plain),
    "rust": (("rust",), _rust),
}
