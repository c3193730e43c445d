"""Runs public sets of programs, each in its language's own image, and writes the table of RESULTS.md.

    git clone --depth 1 https://github.com/THUDM/CodeGeeX humaneval
    git clone --depth 1 https://github.com/engineer-man/piston piston
    PYTHONPATH=tests .venv/bin/python -P tests/languages/public.py --humaneval humaneval --piston piston

`tests/languages/run` builds the images before. Arguments are languages; without any it is all of them.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import anyio
from language_programs import PUBLIC, read_parts, write_parts
from public_sets import SETS, Program, humaneval, piston

from sandbox_runner import Runner, RunRequest, RunResult
from sandbox_runner.config import Config
from sandbox_runner.languages import find_language

AT_A_TIME = 2
# Where it is the program that asks for what no image of ours has, and why.
THEIRS = {
    "CPP/22": "wants Boost",
    "CPP/137": "wants Boost",
    "CPP/162": "wants OpenSSL",
    "Rust/32": "wants the crate rand",
    "Rust/38": "wants the crate rand",
    "Rust/50": "wants the crate rand",
    "Rust/53": "wants the crate rand",
    "Rust/91": "wants the crate regex",
    "Rust/162": "wants the crate md5",
    "JavaScript/112": "returns half of what its test wants",
    "JavaScript/155": "does not do what its test wants",
    "JavaScript/162": "wants the package js-md5",
    "nasm/test.nasm.asm": "is of 32 bits",
    "scala/test.scala": "is in Scala 3",
}
TITLE = """\
Made by `tests/languages/public.py`, which says where the sets are to be had; the default limits.
HumanEval-X: the set's own solution of each problem with the set's own test, 164 for each language;
TypeScript runs JavaScript's, and in Go a few lines stand for the library testify.
Piston: the test of each of its packages in a language that we have, each of which prints OK.

"""


@dataclass
class Found:
    """What was seen of one language and set."""

    programs: int = 0
    failed: dict[str, str] = field(default_factory=dict)


async def run_all(programs: Iterable[Program], engine: str) -> dict[tuple[str, str], Found]:
    found: dict[tuple[str, str], Found] = {}
    waiting = iter(list(programs))
    async with Runner.open(Config(engine=engine)) as runner, anyio.create_task_group() as group:
        for _ in range(AT_A_TIME):
            group.start_soon(_worker, runner, waiting, found)
    return found


async def _worker(runner: Runner, waiting: Iterator[Program], found: dict[tuple[str, str], Found]) -> None:
    for program in waiting:
        result = await runner.run(RunRequest(language=program.language, code=program.code, stdin="\n"))
        seen = found.setdefault((program.language, program.set), Found())
        seen.programs += 1
        if wrong := _wrong(program, result):
            seen.failed[program.name] = wrong
            print(f"{program.language}: {program.name}: {wrong}", flush=True)
            if program.name not in THEIRS:
                said = f"{result.compiler}{result.stdout}{result.stderr}"
                print("\n".join(f"    {line}" for line in said.splitlines()[:12]), flush=True)


def _wrong(program: Program, result: RunResult) -> str | None:
    if (result.status, result.exit_code) != ("exited", 0):
        return f"{result.status} {result.exit_code or result.signal} {result.reason or ''}"
    if program.prints not in result.stdout:
        return f"it does not print {program.prints}"
    return "it complains" if program.quiet and result.stderr else None


def _write(found: dict[tuple[str, str], Found]) -> None:
    parts = read_parts()
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in parts.get(PUBLIC, "").splitlines()]
    rows = {name: told for name, *told in filter(None, cells) if name not in ("language", "---")}
    for (language, each), seen in found.items():
        row = rows.setdefault(language, ["", "", ""])
        row[SETS.index(each)], row[2] = _told(seen), f"{datetime.now(UTC):%Y-%m-%d}"
    head = f"| language | {' | '.join(SETS)} | date |\n|{'---|' * (len(SETS) + 2)}\n"
    lines = "".join(f"| {name} | {' | '.join(rows[name])} |\n" for name in sorted(rows))
    write_parts({**parts, PUBLIC: f"{TITLE}{head}{lines}"})


def _told(seen: Found) -> str:
    passed = f"{seen.programs - len(seen.failed)}/{seen.programs}"
    reasons = "; ".join(f"{name} {THEIRS.get(name, 'failed')}" for name in sorted(seen.failed))
    return f"{passed}: {reasons}" if reasons else passed


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("languages", nargs="*", help="all, where none is named")
    parser.add_argument("--engine", choices=("docker", "oci"), default="docker")
    parser.add_argument("--humaneval", type=Path, help="where CodeGeeX was cloned to")
    parser.add_argument("--piston", type=Path, help="where piston was cloned to")
    return parser.parse_args()


def main() -> int:
    asked = _parsed()
    wanted = {find_language(name).name for name in asked.languages}
    programs = [
        *(humaneval(asked.humaneval) if asked.humaneval else ()),
        *(piston(asked.piston) if asked.piston else ()),
    ]
    found = anyio.run(run_all, [it for it in programs if not wanted or it.language in wanted], asked.engine)
    for (language, each), seen in sorted(found.items()):
        print(f"{language}: {each} {seen.programs - len(seen.failed)}/{seen.programs}")
    _write(found)
    return any(name not in THEIRS for seen in found.values() for name in seen.failed)


if __name__ == "__main__":
    sys.exit(main())
