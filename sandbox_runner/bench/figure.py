"""Figures: what was measured, summed up and judged."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

BARE = "bare python"


@dataclass(frozen=True, slots=True)
class Summary:
    """``n`` values, in the unit of their figure."""

    n: int
    p10: float
    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measurement: the measure's ``name``, who was measured, and how (``variant``).

    ``engine`` is one of ours, or a peer. ``ratio`` and ``ratio_p99`` compare the medians and the 99th
    percentiles with those of the baseline; None where there is none. ``bar`` is what it has to
    meet, and ``met`` whether it did; None where there is no bar. ``notes`` are further numbers,
    their unit in their names.
    """

    name: str
    engine: str
    variant: str = ""
    unit: str
    values: Summary
    ratio: float | None = None
    ratio_p99: float | None = None
    bar: str = ""
    met: bool | None = None
    notes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bar:
    """``statistic`` is at most (``<=``) or at least (``>=``) ``bound``, as a multiple of the baseline's
    where it is ``of`` one."""

    statistic: str
    sign: str
    bound: float
    of: str = ""

    def text(self, unit: str) -> str:
        """As people read it."""
        times = f"x {self.of}" if self.of else unit
        return f"{self.statistic} {self.sign} {self.bound:g} {times}"

    def is_met(self, values: Summary, baseline: Summary | None) -> bool | None:
        """None where it compares with a baseline that there is not."""
        if self.of and baseline is None:
            return None
        unit = getattr(baseline, self.statistic) if self.of else 1.0
        found, bound = getattr(values, self.statistic), self.bound * unit
        return bool(found <= bound if self.sign == "<=" else found >= bound)


def summed_up(values: Sequence[float]) -> Summary:
    """The summary of at least one value."""
    ordered = sorted(values)
    p10, p50, p90, p99 = (round(_percentile(ordered, share), 3) for share in (0.1, 0.5, 0.9, 0.99))
    return Summary(len(ordered), p10, p50, p90, p99, round(ordered[-1], 3))


def _percentile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def figure(
    name: str,
    engine: str,
    values: Sequence[float],
    *,
    unit: str = "ms",
    variant: str = "",
    baseline: Sequence[float] | None = None,
    bars: Sequence[Bar] = (),
    judged_by: Sequence[float] | None = None,
    notes: Mapping[str, float] | None = None,
) -> Figure:
    """The figure of ``values``, compared with those of the ``baseline`` and with all ``bars``.

    The bars are multiples of the baseline, or of ``judged_by`` where that is given.
    """
    summary, other = summed_up(values), summed_up(baseline) if baseline else None
    measure = summed_up(judged_by) if judged_by else other
    verdicts = [bar.is_met(summary, measure) for bar in bars]
    return Figure(
        name=name,
        engine=engine,
        variant=variant,
        unit=unit,
        values=summary,
        ratio=_ratio(summary.p50, other.p50) if other else None,
        ratio_p99=_ratio(summary.p99, other.p99) if other else None,
        bar=", ".join(bar.text(unit) for bar in bars),
        met=None if not bars or None in verdicts else all(verdicts),
        notes={key: round(value, 3) for key, value in (notes or {}).items()},
    )


def _ratio(value: float, other: float) -> float | None:
    return round(value / other, 3) if other else None
