"""A document's figures as rows for people."""

from collections.abc import Mapping
from typing import Any

HEADINGS = ("MEASURE", "WHO", "HOW", "N", "P50", "P10-P90", "P99", "UNIT", "X BARE", "BAR", "MET", "NOTES")
_VERDICTS = {True: "yes", False: "NO", None: ""}


def rows(document: Mapping[str, Any]) -> list[list[str]]:
    """One for each figure, below `HEADINGS`."""
    return [_row(figure) for figure in document["figures"]]


def number(value: float | None) -> str:
    """With three digits, or all before the point."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _row(figure: Mapping[str, Any]) -> list[str]:
    values = figure["values"]
    return [
        figure["name"],
        figure["engine"],
        figure["variant"],
        str(values["n"]),
        number(values["p50"]),
        f"{number(values['p10'])}-{number(values['p90'])}",
        number(values["p99"]),
        figure["unit"],
        number(figure["ratio"]),
        figure["bar"],
        _VERDICTS[figure["met"]],
        " ".join(f"{name}={number(value)}" for name, value in figure["notes"].items()),
    ]
