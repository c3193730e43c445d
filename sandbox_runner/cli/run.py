"""`sandbox-runner run`: one program, its output as it is produced, its exit status as ours."""

import argparse
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_runner.agent.patterns import MAX_DEPTH
from sandbox_runner.agent.protocol import MAX_ENTRIES
from sandbox_runner.cli.exits import emit, exit_status, say
from sandbox_runner.cli.parsing import add_settings, settings
from sandbox_runner.cli.program import build_request
from sandbox_runner.cli.signals import ending_signals
from sandbox_runner.config import Config, load_config
from sandbox_runner.errors import EngineUnavailable
from sandbox_runner.head_start import HeadStart, head_start
from sandbox_runner.languages import find_language
from sandbox_runner.policy import check
from sandbox_runner.request import RunRequest
from sandbox_runner.spec import ResolvedLimits

if TYPE_CHECKING:
    from sandbox_runner.result import RunResult

EXAMPLES = """\
sandbox-runner run -c 'print(2**100)'
sandbox-runner run --timeout 5 --memory 256m --file input.csv analysis.py input.csv
sandbox-runner run --language javascript -c 'console.log(process.version)'
sandbox-runner run -- bash -c 'ls -l /workspace | wc -l'
sandbox-runner run --image debian:stable -- cat /etc/os-release
cat words.txt | sandbox-runner run -- sort -u
sandbox-runner run --file data/ --file report.py:tools/report.py main.py
sandbox-runner run --set packages=pip:humanize --package humanize -c 'import humanize'
sandbox-runner run --json -c 'print(1)' | jq .usage
sandbox-runner run --display -c 'import pandas; pandas.DataFrame({"x": [1, 2]})'
sandbox-runner run --out results --artifact '*.csv' --artifact 'plots/**' report.py
echo 'print(6 * 7)' | sandbox-runner run"""
_EXIT_STATUS = """

exit status:
  the program's own; 128+n where signal n ended it; 124 timed out; 137 out of memory;
  152 CPU time used up; 153 too much output; 130 Ctrl-C; 2 the request must change;
  75 retry later; 125 the engine failed"""

_LISTED = 20  # files that were written and are named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `run`."""
    parser.epilog = (parser.epilog or "") + _EXIT_STATUS
    parser.usage = "%(prog)s [OPTION]… (-c CODE [ARG]… | FILE [ARG]… | -- CMD [ARG]…)"
    parser.add_argument("-c", dest="code", metavar="CODE", help="the program's text")
    program = parser.add_argument(
        "program",
        metavar="FILE",
        nargs=argparse.PARSER,  # FILE and all that follows it, options too: they are the program's
        help="the program's file, or - for stdin, as without any program; then the program's arguments",
    )
    program.required = False
    _add_program_options(parser)
    _add_limits(parser)
    parser.add_argument("--engine", metavar="E", help="the container engine: auto, docker or oci")
    parser.add_argument(
        "--quiet", action="store_true", help="say nothing on stderr about limits that were met"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as one JSON document, and only that"
    )
    add_settings(parser)


def _add_program_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--language", metavar="L", help="its language; by default from FILE's extension, else python"
    )
    parser.add_argument(
        "-e", dest="env", metavar="NAME=VALUE", action="append", default=[],
        help="an environment variable; NAME alone passes on the value it has here",
    )  # fmt: skip
    parser.add_argument(
        "--stdin",
        metavar="FILE",
        help="the program's stdin; - passes ours on, as is done unasked where it is piped",
    )
    parser.add_argument(
        "--file", metavar="SRC[:DEST]", action="append", default=[],
        help="put a file, or a folder's files, into the program's folder",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="DIR",
        help="write the files that the program made or altered to this folder, replacing those there",
    )  # fmt: skip
    parser.add_argument(
        "--artifact", metavar="PATTERN", action="append", default=[],
        help="which of them: such as '*.png', or 'plots/**' for all below a folder",
    )  # fmt: skip
    parser.add_argument(
        "--display", action="store_true",
        help="print the last expression's value too, as a notebook does; --out also takes its pictures",
    )  # fmt: skip
    parser.add_argument(
        "--package", dest="packages", metavar="P", action="append", default=[],
        help="add a package, such as 'numpy>=2'; the setting packages allows them",
    )  # fmt: skip
    parser.add_argument("--image", metavar="I", help="run in another image than the language's")
    parser.add_argument("--profile", metavar="P", help="the seccomp profile: default or strict")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--timeout", metavar="S", type=float, help="seconds that the run may take")
    parser.add_argument("--cpu-time", metavar="S", type=float, help="seconds of CPU time, over all processes")
    parser.add_argument("--memory", metavar="SIZE", help="memory, such as 256m or 2g")
    parser.add_argument("--cpus", metavar="N", type=float, help="cores that may be used at once, such as 0.5")
    parser.add_argument("--pids", metavar="N", type=int, help="processes and threads at once")


def execute(arguments: argparse.Namespace) -> int:
    """Runs the program; returns the exit status."""
    flags = settings(arguments)
    if arguments.engine is not None:
        flags["engine"] = arguments.engine
    config = load_config(flags=flags).config
    request = build_request(arguments, config)
    language = find_language(request.language) if request.language else None
    limits = check(config.policy(), request, language=language)  # refused before an engine is looked for
    with ending_signals() as ending, _begun(config, request) as head:
        from sandbox_runner.cli.follow import follow, opened  # noqa: PLC0415 - the container starts meanwhile
        from sandbox_runner.runner import take_over  # noqa: PLC0415 - as above

        stream = take_over(head, lossless=True) if head else opened(config, request, quiet=arguments.quiet)
        result = follow(stream, ending, silent=arguments.json)
    if isinstance(result, int):
        return result
    if arguments.json:
        emit(json.dumps(result.as_dict()))
    if arguments.display:
        _show(result, arguments)
    if not arguments.quiet:
        _say_notes(result, limits, config)
    if not arguments.quiet and not arguments.json:
        _say_files(result)
    if result.status == "cancelled" and ending.signal is not None:
        return 128 + ending.signal
    return exit_status(result)


@contextmanager
def _begun(config: Config, request: RunRequest) -> Iterator[HeadStart | None]:
    """The run, begun on a Docker engine; None where there may be the embedded one instead."""
    with ExitStack() as stack:
        head = None
        try:
            if config.engine != "oci" and not request.packages:  # those may have to be installed first
                head = stack.enter_context(head_start(config, request))
        except EngineUnavailable:
            if config.engine == "docker" or config.docker_host:
                raise
        yield head


def _show(result: "RunResult", arguments: argparse.Namespace) -> None:
    from sandbox_runner.cli.displays import print_displays, write_displays  # noqa: PLC0415 - few runs have any

    if not arguments.json:
        print_displays(result.displays)
    if arguments.out:
        write_displays(result.displays, Path(arguments.out))
    if result.displays_omitted and not arguments.quiet:
        say(f"left out {result.displays_omitted} displays: too many, or not what they should be.")


def _say_files(result: "RunResult") -> None:
    for artifact in result.artifacts[:_LISTED]:
        say(f"wrote {artifact.file} ({artifact.type}, {artifact.size} bytes)")
    if len(result.artifacts) > _LISTED:
        say(f"wrote {len(result.artifacts) - _LISTED} other files.")
    if result.artifacts_omitted:
        say(
            f"left out {result.artifacts_omitted}: links and other special files, unreadable ones, .git, "
            f"folders below {MAX_DEPTH - 1} others, what is beyond {MAX_ENTRIES - 1} entries, "
            "and what exceeds max_out_files, max_out_file or max_out_bytes or finds no place in the folder."
        )


def _say_notes(result: "RunResult", limits: ResolvedLimits, config: Config) -> None:
    # A compiler that failed has said why on stderr.
    by_itself = result.status in ("exited", "signaled") or (result.compile and result.compile.exit_code)
    if by_itself and not result.limits_hit and not result.reason:
        return
    from sandbox_runner.cli.notes import notes  # noqa: PLC0415 - few runs have any

    for note in notes(result, limits, config):
        say(note)
