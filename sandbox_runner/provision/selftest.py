"""Runs the self-test of each language through whatever runs programs, and tells which hold."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sandbox_runner.errors import BuildFailed
from sandbox_runner.languages import Language
from sandbox_runner.provision.progress import Progress, Report

RunProgram = Callable[[str, str], Awaitable[str]]
"""Runs code (second) in a language (first) and returns its stdout, with its stderr where it failed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the self-test of ``language`` printed, and whether that was what it must print."""

    language: Language
    printed: str

    @property
    def passed(self) -> bool:
        """Whether the language works as its definition says."""
        return self.printed == self.language.selftest.stdout


async def run_selftests(
    run: RunProgram, languages: Sequence[Language], *, report: Report
) -> tuple[Outcome, ...]:
    """The outcome for each of the languages, one after the other.

    Raises what ``run`` raises.
    """
    outcomes = []
    for done, language in enumerate(languages):
        report(Progress("selftest", language.name, "running", done, len(languages)))
        outcome = Outcome(language, await run(language.name, language.selftest.code))
        outcomes.append(outcome)
        report(
            Progress(
                "selftest", language.name, "works" if outcome.passed else "fails", done + 1, len(languages)
            )
        )
    return tuple(outcomes)


def require_passed(outcomes: tuple[Outcome, ...]) -> None:
    """Raises BuildFailed, naming what was printed, where a self-test did not pass."""
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if failed:
        names = ", ".join(outcome.language.name for outcome in failed)
        raise BuildFailed(
            f"The images were built, but the self-test fails for {names}. Build them anew with "
            "`sandbox-runner setup --fresh`; if that does not help, please report it.",
            lines=tuple(line for outcome in failed for line in outcome.printed.splitlines()),
        )
