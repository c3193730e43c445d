"""Runs the programs of each language on both engines and writes the table of results; see `run`."""

import argparse
import datetime
import re
import signal
import sys
from dataclasses import dataclass, field

import anyio
from language_programs import CASES, ENGINES, MISSING, Case, read_cases, read_parts, rows, write_parts

from sandbox_runner import InputFile, Limits, Runner, RunRequest, RunResult
from sandbox_runner.config import Config
from sandbox_runner.definitions import image_tag
from sandbox_runner.engines.docker.connection import connect
from sandbox_runner.languages import Language, find_language, load_languages
from sandbox_runner.server.text import neutral

PRINTED = {
    "hello": "Hello, Ada! one två\n",
    "files": "42\n",
    "exit": "",
    "unicode": "Grüße, 世界, 🎉\n",
}
SHORT = Limits(wall_time=2)
HEADINGS = ("language", "version", "image", "MiB", "compile s", "run s", *ENGINES, "date")
TITLE = """\
# Every language, run

Made by `bash tests/languages/run`: the images built of Debian 13 (trixie), then the programs in
[programs/](programs) run on both engines with the default limits: hello with arguments and stdin,
several files, an exit code, an error, a program that is not valid, Unicode, and an endless loop.
*compile s* and *run s* are what hello took on oci; *MiB* is the image with the base that all share.

"""
NOT_PACKAGED = """\
Asked of Debian 13 on 2026-11-21 with `apt-cache policy` and `apt-cache search`.

| language | what Debian 13 says |
|---|---|
| nim | `nim`: no such package |
| julia | `julia`: Candidate: (none) |
| forth | `gforth`: no such package; `pforth` prints what it reads, and takes no arguments |
| c# on .NET | `dotnet-sdk-8.0`: no such package; C# here is Mono's compiler, of the language's version 7 |
"""


@dataclass
class Findings:
    """What was seen of one language."""

    version: str = ""
    compile: float | None = None
    run: float = 0.0
    failed: dict[str, list[str]] = field(default_factory=dict)


async def check(languages: list[Language]) -> dict[str, Findings]:
    found = {language.name: Findings() for language in languages}
    for engine in ENGINES:
        async with Runner.open(Config(engine=engine)) as runner:
            for language in languages:
                await _check_one(runner, engine, language, found[language.name])
    return found


async def _check_one(runner: Runner, engine: str, language: Language, findings: Findings) -> None:
    version = await runner.run(RunRequest(language=language.name, command=language.version))
    findings.version = _first_number(neutral(version.stdout or version.stderr))
    failed = findings.failed[engine] = []
    for name, case in read_cases(language.name).items():
        result = await _run(runner, language, name, case)
        if wrong := _wrong(language, name, case, result):
            failed.append(name)
            print(f"{language.name}: {name} on {engine}: {wrong}")
            print("\n".join(f"    {line}" for line in _all(result).splitlines()[:12]))
        if name == "hello":
            findings.compile = result.compile.usage.wall_time if result.compile else None
            findings.run = result.usage.wall_time
    print(f"{language.name} on {engine}: {len(CASES) - len(failed)}/{len(CASES)}", flush=True)


def _first_number(text: str) -> str:
    """What a version command says, until its number."""
    found = re.match(r"[^\n]*?\d[\w.+~-]*", text)
    return found[0].replace("(Debian ", "").strip() if found else "unknown"


async def _run(runner: Runner, language: Language, name: str, case: Case) -> RunResult:
    return await runner.run(
        RunRequest(
            language=language.name,
            code=case.code,
            args=["one", "två"] if name == "hello" else [],
            stdin="Ada\n" if name == "hello" else "",
            files=[InputFile(path, text.encode()) for path, text in case.files.items()],
            limits=SHORT if name == "endless" else Limits(),
        )
    )


def _wrong(language: Language, name: str, case: Case, result: RunResult) -> str | None:
    """What is not as it must be."""
    if name == "endless":
        return None if result.status == "timed_out" else f"it ended: {result.status}"
    if name == "broken" and language.compile:
        expected = ("compile_failed", None, None)
    elif name in ("error", "broken"):
        expected = ("signaled" if case.signal else "exited", case.exit_code, case.signal)
    else:
        expected = ("exited", 7 if name == "exit" else 0, None)
    name_of = result.signal and signal.Signals(result.signal).name
    if (ended := (result.status, result.exit_code, name_of)) != expected:
        return f"{ended} {result.reason}, must be {expected}"
    if result.stdout != PRINTED.get(name, result.stdout):
        return "it prints something else"
    says = "giving up" if name == "exit" else case.says
    return None if says in _all(result) else f"it does not say {says!r}"


def _all(result: RunResult) -> str:
    return f"{result.compiler}{result.stdout}{result.stderr}"


def _row(language: Language, findings: Findings, size: int) -> str:
    cells = [
        language.name,
        findings.version,
        language.image,
        f"{size / (1 << 20):.0f}",
        "" if findings.compile is None else f"{findings.compile:.2f}",
        f"{findings.run:.2f}",
        *(_told(findings.failed[engine]) for engine in ENGINES),
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
    ]
    return f"| {' | '.join(cells)} |"


def _told(failed: list[str]) -> str:
    passed = f"{len(CASES) - len(failed)}/{len(CASES)}"
    return f"{passed}, not {', '.join(failed)}" if failed else passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("languages", nargs="*", help="all, where none is named")
    names = parser.parse_args().languages
    languages = [find_language(name) for name in names] or list(load_languages())
    found = anyio.run(check, languages)
    api = connect(None)
    table = rows()
    for language in languages:
        size = api.inspect_image(image_tag(language.image))["Size"]
        table[language.name] = _row(language, found[language.name], size)
    api.close()
    head = f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}\n"
    lines = "\n".join(table[name] for name in sorted(table))
    write_parts({**read_parts(), "": f"{TITLE}{head}{lines}", MISSING: NOT_PACKAGED})
    return any(findings.failed[engine] for findings in found.values() for engine in ENGINES)


if __name__ == "__main__":
    sys.exit(main())
