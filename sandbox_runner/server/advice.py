"""What a model should know and do next, after a run that did not go as it wished.

A program's own words are only a hint at what stopped it: each such note says what holds here
in any case, so that a program which forges them misleads nobody.
"""

import re
from collections.abc import Iterator

from sandbox_runner.config import Config
from sandbox_runner.languages import addable, find_language
from sandbox_runner.notes import limit_notes
from sandbox_runner.result import RunResult
from sandbox_runner.server.runs import Run

_RAISE = {
    "wall_time": "raise timeout_s, or do less",
    "memory": "raise memory_mb, or use less",
    "compile_time": "compile less",
    "compile_memory": "compile less",
    "cpu_time": "do less",
    "output": "print less, or write to a file and print its part",
    "pids": "start fewer processes and threads",
    "workspace": "write less to /workspace",
    "tmp": "write less to /tmp, or use /workspace",
}
_AGAIN = "run it again."
_LOOK = 16384  # bytes at the end of stderr that are looked at

_NETWORK = re.compile(
    r"Network is unreachable|Temporary failure in name resolution|Could not resolve host|EAI_AGAIN"
    r"|ENETUNREACH|Name or service not known|NameResolutionError"
)
_READ_ONLY = re.compile(r"Read-only file system|EROFS")
_DENIED = re.compile(r"Operation not permitted|EPERM|Permission denied|EACCES")
_FULL = re.compile(r"No space left on device|ENOSPC")
_NO_MODULE = re.compile(r"No module named '?([\w.]{1,100})|Cannot find (?:module|package) '([^'\n]{1,100})'")
_NO_FILE = re.compile(
    r"No such file or directory: '([^'\n]{1,200})'|ENOENT: no such file or directory, \w+ '([^'\n]{1,200})'"
    r"|: ([^:\n]{1,200}): No such file or directory"
)
_NO_COMMAND = re.compile(r"(?:line \d+: |: )([^\s:]{1,100}): (?:command )?not found")


def notes(run: Run, result: RunResult, config: Config) -> list[str]:
    """Sentences on the limits that were met, then on what the program seems to have been denied."""
    raising = limit_notes(
        result, run.limits, config, raising=lambda name: _RAISE.get(name, "do less"), again=_AGAIN
    )
    said = [f"{note[0].upper()}{note[1:]}" for note in raising]
    if result.state_lost:
        said.append("The variables of this context are lost: its interpreter was ended. Files are kept.")
    if result.status == "timed_out":
        said.append("Longer work can run with background=true; what was printed so far is here.")
    if not result.ok and result.status != "compile_failed":
        said += _hints(run, result.captured["stderr"].tail or result.captured["stderr"].head, config)
    return said


def _hints(run: Run, stderr: bytes, config: Config) -> Iterator[str]:
    text = stderr[-_LOOK:].decode(errors="replace")
    if _NETWORK.search(text):
        yield "There is no network in the sandbox (control net.none): pass what is needed in files or stdin."
    if _READ_ONLY.search(text):
        yield "Only /workspace and /tmp can be written (control fs.root.read_only)."
    if _DENIED.search(text):
        yield (
            "The program has no privileges: not root, no capabilities, system calls filtered "
            "(control proc.no_privilege). Nothing in /tmp can be executed; /workspace is the place for that."
        )
    if _FULL.search(text):
        yield "/workspace and /tmp are limited in bytes and in number of files (control res.disk)."
    if found := _NO_MODULE.search(text):
        yield f"{_word(found)!r} is not installed{_adding(run, config)}; {_packages(run)}"
    if found := _NO_FILE.search(text):
        yield f"{_word(found)!r} is not in the sandbox: {_files(run)}"
    if found := _NO_COMMAND.search(text):
        yield f"The command {_word(found)!r} is not installed; list_languages shows what is."


def _word(found: re.Match[str]) -> str:
    return next((group for group in found.groups() if group), "")


def _adding(run: Run, config: Config) -> str:
    language = find_language(run.request.language) if run.request.language else None
    patterns = addable(language, config.packages) if language else ()
    if not patterns:
        return " and cannot be"
    tool = "another open_session" if run.in_session else "run_code"
    return f": name it in packages of {tool}, which may hold {', '.join(patterns)}"


def _packages(run: Run) -> str:
    packages = find_language(run.request.language).packages if run.request.language else ()
    if not packages:
        return "list_languages shows what is."
    return f"installed are {', '.join(packages)} and the standard library."


def _files(run: Run) -> str:
    if run.in_session:
        return "list_files shows what is; write_file brings more."
    names = [file.path for file in run.request.files]
    if not names:
        return "no files were passed. Pass them in files; each run starts with an empty /workspace."
    return f"passed in files were {', '.join(names[:20])}, which are in /workspace."
