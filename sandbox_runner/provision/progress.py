"""What is told while a machine is made ready, for whoever shows it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["engine", "base", "image", "selftest", "removal", "packages"]


@dataclass(frozen=True, slots=True)
class Progress:
    """One thing that happened to ``subject`` (an image, a package, a language) in a stage.

    ``text`` is a line for people. ``done`` of ``total`` steps are over; a total of 0 means
    that nobody can tell.
    """

    stage: Stage
    subject: str
    text: str
    done: int = 0
    total: int = 0


Report = Callable[[Progress], None]

Consent = Callable[[str], bool]
"""Asked with a sentence that says what would be changed on this machine; True allows it."""
