"""Progress of setup and uninstall: bars on a terminal, else a line for each step."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sandbox_runner.cli.consent import consents
from sandbox_runner.cli.exits import one_line
from sandbox_runner.provision.progress import Progress, Report


@dataclass(frozen=True, slots=True)
class Display:
    """Shows what is told to ``report``; ``pause`` and ``resume`` make room for a question."""

    report: Report
    pause: Callable[[], None] = lambda: None
    resume: Callable[[], None] = lambda: None

    def ask(self, sentence: str, *, yes: bool) -> bool:
        """`consents`, asked below what is shown."""
        self.pause()
        try:
            return consents(sentence, yes=yes)
        finally:
            self.resume()


@contextmanager
def shown_progress() -> Iterator[Display]:
    """Within it what is reported is shown on stderr."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield Display(_plain())
        return
    # rich takes 60 ms to load, and only a terminal has use for it.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.progress import Progress as Bars  # noqa: PLC0415

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    tasks: dict[tuple[str, str], TaskID] = {}
    with Bars(
        *columns, console=Console(stderr=True, color_system=None if os.environ.get("NO_COLOR") else "auto")
    ) as bars:

        def report(step: Progress) -> None:
            key = (step.stage, step.subject)
            if key not in tasks:
                tasks[key] = bars.add_task(f"{step.stage} {one_line(step.subject)}", total=None, text="")
            bars.update(
                tasks[key], completed=step.done, total=step.total or None, text=one_line(step.text)[:60]
            )

        yield Display(report, bars.stop, bars.start)


def _plain() -> Report:
    """Prints the first line of each step; what an installer prints below that is left out."""
    seen: set[tuple[str, str, int, int]] = set()

    def report(step: Progress) -> None:
        key = (step.stage, step.subject, step.done, step.total)
        if key in seen or sys.stderr is None:
            return
        seen.add(key)
        of = f" {step.done}/{step.total}" if step.total else ""
        with suppress(OSError):
            print(f"{step.stage} {step.subject}{of}: {one_line(step.text)}", file=sys.stderr, flush=True)

    return report
