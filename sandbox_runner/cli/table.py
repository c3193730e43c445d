"""Tables for people: aligned, coloured only on a terminal and without NO_COLOR."""

import io
import os
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sandbox_runner.cli.exits import emit, one_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def emit_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints ``rows`` under ``headings``. Where stdout is no terminal nothing is cut or wrapped.

    Raises OutputError.
    """
    from rich.table import Table  # noqa: PLC0415 - 60 ms that a command without a table need not wait for
    from rich.text import Text  # noqa: PLC0415

    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    _emit(table)


def emit_line(word: str, style: str, rest: str) -> None:
    """Prints a line that begins with ``word`` in ``style``. Raises OutputError."""
    from rich.text import Text  # noqa: PLC0415 - as above

    _emit(Text.assemble((one_line(word), style), " ", one_line(rest)))


def _emit(what: "RenderableType") -> None:
    console = _console()
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    emit("\n".join(line.rstrip() for line in console.file.getvalue().splitlines()))


def _console() -> "Console":
    from rich.console import Console  # noqa: PLC0415 - as above

    terminal = sys.stdout is not None and sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else 10_000
    styled = terminal and not os.environ.get("NO_COLOR")
    return Console(
        file=io.StringIO(), color_system="auto" if styled else None, force_terminal=terminal, width=width
    )
