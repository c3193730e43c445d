"""Reads languages/programs/NAME.txt: what each language is asked to do, in the way that its own users would.

=== hello                 greets the first line of stdin, then says its arguments
=== files                 prints what is in another file of the workspace
=== exit                  says "giving up" on stderr and exits with 7
=== error exit=2          fails as programs of this language do: with this exit code (1), or signal=SIGNAL
=== broken                is not valid: it does not compile, or, in a language that is not compiled, fails
=== unicode               prints letters of several scripts
=== endless               never ends
--- NAME                  another file beside the program
--- says                  what an error or a broken program must say
"""

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "languages" / "programs"
RESULTS = Path(__file__).parent / "languages" / "RESULTS.md"
ENGINES = ("docker", "oci")
MISSING, PUBLIC = "Not packaged", "Public sets of programs"  # headings of RESULTS.md
CASES = ("hello", "files", "exit", "error", "broken", "unicode", "endless")


@dataclass(frozen=True)
class Case:
    """A program, the files beside it, and how it must end where that is not the same in all languages."""

    code: str
    files: dict[str, str]
    says: str
    exit_code: int | None
    signal: str | None


def read_cases(language: str) -> dict[str, Case]:
    """The programs of a language, by what they do."""
    text = (FOLDER / f"{language}.txt").read_text("utf-8")
    sections = re.split(r"^=== (\w+)(.*)\n", text, flags=re.MULTILINE)
    assert sections[0] == ""
    return {
        name: _case(options.split(), text)
        for name, options, text in zip(sections[1::3], sections[2::3], sections[3::3], strict=True)
    }


def rows() -> dict[str, str]:
    """The rows of the table of results, by language."""
    table = re.findall(r"^(\| ([a-z][^ ]*) \|.+)$", read_parts()[""], re.MULTILINE)
    return {name: row for row, name in table if name != "language"}


def read_parts() -> dict[str, str]:
    """The text of RESULTS.md by heading; what is before the first is of ""."""
    text = RESULTS.read_text("utf-8") if RESULTS.exists() else ""
    first, *parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(["", *parts[::2]], [first, *parts[1::2]], strict=True))


def write_parts(parts: dict[str, str]) -> None:
    """RESULTS.md anew, with these parts by heading."""
    text = "\n\n".join(
        f"## {name}\n\n{part.strip()}" if name else part.strip() for name, part in parts.items()
    )
    RESULTS.write_text(f"{text}\n", "utf-8")


def _case(options: list[str], text: str) -> Case:
    code, *parts = re.split(r"^--- (.+)\n", text, flags=re.MULTILINE)
    files = dict(zip(parts[::2], parts[1::2], strict=True))
    says = files.pop("says", "").strip()
    given = dict(option.split("=") for option in options)
    signal = given.get("signal")
    return Case(code, files, says, None if signal else int(given.get("exit", "1")), signal)
