"""The settings that a client offers to the person who installs the server, defined nowhere else anew."""

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox_runner.config import SETTINGS, format_setting

_TITLES = {
    "wall_time": "Time for a run, in seconds",
    "max_wall_time": "Longest time that a run may ask for, in seconds",
    "memory": "Memory of a run",
    "max_memory": "Most memory that a run may ask for",
    "cpus": "Cores of a run",
    "max_cpus": "Most cores that a run may ask for",
    "max_concurrent": "Runs at one time",
    "docker_host": "Address of the container engine",
}
_NUMBERS = ("seconds", "cores", "count")


@dataclass(frozen=True, slots=True)
class Offer:
    """A setting as a client shows it; ``default`` is its text, None where there is none."""

    variable: str
    title: str
    description: str
    is_number: bool
    default: str | None


def offers() -> Mapping[str, Offer]:
    """What is offered, by the name of the setting."""
    return {name: _offer(name, title) for name, title in _TITLES.items()}


def _offer(name: str, title: str) -> Offer:
    setting = SETTINGS[name]
    return Offer(
        variable=f"SANDBOX_RUNNER_{name.upper()}",
        title=title,
        description=setting.description,
        is_number=setting.kind.unit in _NUMBERS,
        default=None if setting.default is None else format_setting(name, setting.default),
    )
