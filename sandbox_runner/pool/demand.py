"""How many containers of one kind should wait. Pure: it is told the time."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """``least`` wait of each kind that was used, ``most`` of all kinds together.

    ``idle`` is how long, in seconds, a waiting container may be needed by nobody.
    """

    least: int
    most: int
    idle: float


class Demand:
    """Grows by one with each run that found nothing; gives up what a whole window did not need."""

    def __init__(self, bounds: Bounds, *, now: float) -> None:
        self._bounds = bounds
        self.target = min(max(1, bounds.least), bounds.most)
        self.due = now + bounds.idle
        """When `review` has something to say."""
        self._spare: int | None = None  # the fewest that were left at any time in this window

    def missed(self) -> None:
        """A run found none that waited."""
        self.target = min(self.target + 1, self._bounds.most)
        self._spare = 0

    def took(self, *, left: int) -> None:
        """A run took one; ``left`` still wait."""
        self._spare = left if self._spare is None else min(self._spare, left)

    def review(self, *, now: float, waiting: int) -> None:
        """Lowers the target at the end of a window; before it nothing."""
        if now < self.due:
            return
        unneeded = max(waiting, self.target) if self._spare is None else self._spare
        self.target = max(self.target - unneeded, min(self._bounds.least, self._bounds.most))
        self.due = now + self._bounds.idle
        self._spare = None
