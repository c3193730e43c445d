"""Tables for people: aligned, coloured only on a terminal and without NO_COLOR."""

from collections.abc import Sequence

from sandbox_runner.cli.exits import emit, one_line


def emit_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints ``rows`` under ``headings``. Where stdout is no terminal nothing is cut or wrapped.

    Raises OutputError.
    """
    # 60 ms that a command without a table need not wait for.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console()
    if not console.is_terminal:
        console.width = 10_000
    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    with console.capture() as capture:
        console.print(table)
    emit("\n".join(line.rstrip() for line in capture.get().splitlines()))
