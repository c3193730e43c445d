"""`sandbox-runner session`: a prompt whose statements run in one sealed container, and keep its state."""

import argparse
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from sandbox_runner.cli.exits import USAGE, exit_status, say
from sandbox_runner.cli.parsing import add_settings, settings
from sandbox_runner.cli.statements import statements
from sandbox_runner.config import Config, load_config
from sandbox_runner.errors import RequestRejected, SessionEnded
from sandbox_runner.languages import Language, find_language
from sandbox_runner.places import session_folder
from sandbox_runner.policy import check
from sandbox_runner.request import Limits, RunRequest
from sandbox_runner.spec import ResolvedLimits

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from sandbox_runner.cli.streams import Terminal
    from sandbox_runner.result import RunResult
    from sandbox_runner.sessions import Session

EXAMPLES = """\
sandbox-runner session
sandbox-runner session javascript
sandbox-runner session --timeout 300 --memory 2g python
printf 'x = 6\\nprint(x * 7)\\n' | sandbox-runner session"""
_KEYS = """

keys:
  Ctrl-C interrupts what runs, and variables are kept; a second one ends its interpreter, and they are lost.
  Ctrl-D leaves. A line that is not complete goes on in the next; in Python an empty line ends a block.

Piped input is run statement by statement, as 'python -i' does; the exit status is that of the last one."""
_HISTORY = 1000  # lines
_LOOK = 0.2  # seconds; a signal that comes just before a wait does not end it (signal(7), pthread_cond_wait)
_PROMPT, _MORE = ">>> ", "... "
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `session`."""
    parser.epilog = (parser.epilog or "") + _KEYS
    parser.add_argument(
        "language", metavar="LANGUAGE", nargs="?", default="python", help="its language; by default python"
    )
    parser.add_argument("--timeout", metavar="S", type=float, help="seconds that each statement may take")
    parser.add_argument("--memory", metavar="SIZE", help="memory of the session, such as 256m or 2g")
    parser.add_argument("--ttl", metavar="S", type=float, help="seconds that the session lasts")
    parser.add_argument("--idle", metavar="S", type=float, help="seconds that it lasts without use")
    parser.add_argument("--snapshot", metavar="ID", help="begin with the files of this snapshot")
    parser.add_argument(
        "--package", dest="packages", metavar="P", action="append", default=[],
        help="add a package, such as 'numpy>=2'; the setting packages allows them",
    )  # fmt: skip
    parser.add_argument("--image", metavar="I", help="run in another image than the language's")
    parser.add_argument("--profile", metavar="P", help="the seccomp profile: default or strict")
    parser.add_argument("--engine", metavar="E", help="the container engine: auto, docker or oci")
    add_settings(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Reads and runs statements until there are no more; returns the exit status."""
    from anyio.from_thread import start_blocking_portal  # noqa: PLC0415 - for this command only

    flags = settings(arguments)
    if arguments.engine is not None:
        flags["engine"] = arguments.engine
    config = load_config(flags=flags).config
    language = find_language(arguments.language)
    asked = RunRequest(
        language=language.name, code="any", limits=_limits(arguments), image=arguments.image,
        profile=arguments.profile, packages=arguments.packages,
    )  # fmt: skip
    limits = check(config.policy(), asked, language=language)  # refused before an engine is looked for
    with (
        _ending_signals(),
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(_opened(config, arguments)) as session,
    ):
        return _converse(portal, session, config, limits)


@asynccontextmanager
async def _opened(config: Config, arguments: argparse.Namespace) -> AsyncIterator["Session"]:
    from sandbox_runner.cli.installing import Installing  # noqa: PLC0415 - as the next
    from sandbox_runner.runner import Runner  # noqa: PLC0415 - loads the engine

    with closing(Installing(arguments.packages, quiet=False)) as installing:
        async with (
            Runner.open(config) as runner,
            runner.session(
                arguments.language, limits=_limits(arguments), ttl=arguments.ttl, idle=arguments.idle,
                image=arguments.image, profile=arguments.profile, packages=arguments.packages,
                snapshot=arguments.snapshot, tell=installing.tell,
            ) as session,
        ):  # fmt: skip
            installing.close()
            yield session


def _limits(arguments: argparse.Namespace) -> Limits:
    return Limits(wall_time=arguments.timeout, memory=arguments.memory)


def _converse(portal: "BlockingPortal", session: "Session", config: Config, limits: ResolvedLimits) -> int:
    from sandbox_runner.cli.streams import Terminal  # noqa: PLC0415 - not for --help

    terminal = Terminal()
    language = session.language
    people = sys.stdin is not None and sys.stdin.isatty()
    status = 0

    def run(code: str) -> None:
        nonlocal status
        try:
            result = _follow(portal, session, code, terminal)
        except SessionEnded:
            raise
        except RequestRejected as error:
            say(str(error))
            status = USAGE
        else:
            _say_outcome(result, limits, config)
            status = exit_status(result)

    if not people:
        if sys.stdin is not None:
            sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr] # it is a TextIOWrapper
        for code in statements(language.name, _piped_line):
            run(code)
        return status
    say(f"{language.name}, sealed; Ctrl-D leaves.")
    with _history(language):
        _ask_people(language, run)
    return 0


def _ask_people(language: Language, run: Callable[[str], None]) -> None:
    """Prompts until Ctrl-D; Ctrl-C at a prompt forgets what was typed of the statement."""
    while True:
        try:
            for code in statements(language.name, _typed_line):
                run(code)
        except KeyboardInterrupt:
            print()
        else:
            print()
            return


def _typed_line(more: bool) -> str | None:
    try:
        return input(_MORE if more else _PROMPT)
    except EOFError:
        return None


def _piped_line(_more: bool) -> str | None:
    line = sys.stdin.readline() if sys.stdin is not None else ""
    return line.rstrip("\r\n") if line else None


async def _run(session: "Session", code: str, terminal: "Terminal") -> "RunResult":
    from sandbox_runner.events import Output  # noqa: PLC0415 - loaded with the session

    async with session.stream(code, lossless=True) as run:
        async for event in run:
            if isinstance(event, Output):
                await terminal.write(event.stream, event.data)
        result = await run.result()
    for display in result.displays:
        if "text/plain" in display:
            await terminal.write("stdout", display["text/plain"].encode() + b"\n")
    return result


def _follow(portal: "BlockingPortal", session: "Session", code: str, terminal: "Terminal") -> "RunResult":
    """The result of ``code``; Ctrl-C meanwhile interrupts it, and the session goes on."""
    asked: list[Future[None]] = []

    def interrupt(_number: int, _frame: object) -> None:
        asked.append(portal.start_task_soon(partial(session.interrupt, at_once=bool(asked))))

    with _handled([signal.SIGINT], interrupt):
        running = portal.start_task_soon(_run, session, code, terminal)
        while not running.done():
            wait([running], _LOOK)
        for interrupted in asked:  # so that none of them meets the next statement
            interrupted.result()
    return running.result()


def _say_outcome(result: "RunResult", limits: ResolvedLimits, config: Config) -> None:
    if result.state_lost:
        say("its interpreter was ended, so all variables are lost; files are kept.")
    if result.status not in ("exited", "signaled", "cancelled") or result.limits_hit:
        from sandbox_runner.cli.notes import notes  # noqa: PLC0415 - few statements have any

        for note in notes(result, limits, config):
            say(note)


@contextmanager
def _history(language: Language) -> Iterator[None]:
    """What was typed before, for the arrow keys, where this Python can edit lines."""
    try:
        import readline  # noqa: PLC0415 - Windows has none
    except ImportError:
        yield
        return
    file = session_folder() / f"history-{language.name}"
    with suppress(OSError):
        readline.read_history_file(file)
    readline.set_history_length(_HISTORY)
    try:
        yield
    finally:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(file)
            file.chmod(0o600)


def _ending_signals() -> AbstractContextManager[None]:
    """Within it SIGTERM and SIGHUP close the session before this program ends."""

    def end(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    return _handled(_ENDING, end)


@contextmanager
def _handled(numbers: Iterable[int], handler: Callable[[int, object], None]) -> Iterator[None]:
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
