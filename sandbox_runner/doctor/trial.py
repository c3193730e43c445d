"""Trials, which are runs of the doctor's own programs, and probes, which judge what comes of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from sandbox_runner.doctor.enforcement import enforcer
from sandbox_runner.doctor.finding import Finding
from sandbox_runner.doctor.outcome import Garbled, Outcome, parse_report
from sandbox_runner.engines.gvisor import NAME as RUNSC
from sandbox_runner.errors import ImageNotFound, SandboxError
from sandbox_runner.request import Limits, RunRequest
from sandbox_runner.result import RunResult
from sandbox_runner.runner import Runner

TRIAL_TIME = 30  # seconds in which a trial must be over, whatever the engine does
MAX_EVIDENCE = 400  # characters
_PROGRAMS = Path(__file__).with_name("programs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A program of `programs/` and how it is run.

    ``reports``: it has to exit with 0 and print a report. ``times``: it is run so often; the last
    outcome counts.
    """

    program: str
    limits: Limits
    args: tuple[str, ...] = ()
    reports: bool = False
    times: int = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the control holds, and what shows it."""

    holds: bool
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One control, and how to tell from a trial's outcome whether it holds.

    ``judge`` is pure, and raises Garbled where the outcome does not tell. What a runtime is known not to
    enforce is a warning with the reason, see `enforcement`.
    """

    control: str
    promise: str
    remedy: str
    trial: Trial
    judge: Callable[[Outcome], Verdict]

    def finding(self, outcome: Outcome) -> Finding:
        """What ``outcome`` says about the control."""
        try:
            verdict = self.judge(outcome)
        except Garbled as error:
            return self.unknown(str(error))
        if verdict.holds:
            return self._finding("ok", verdict.evidence, "")
        if outcome.sentry and (note := enforcer(self.control, RUNSC).note):
            return self._finding(
                "warning", verdict.evidence, f"{note}. Use runc or crun where that is too little."
            )
        return self._finding("failed", verdict.evidence, self.remedy)

    def unknown(self, reason: str, *, remedy: str = "") -> Finding:
        """The finding where the probe could not run, for ``reason``."""
        return self._finding("unknown", reason, remedy or "The probe could not run; look into that first.")

    def _finding(self, status: str, evidence: str, remedy: str) -> Finding:
        return Finding(
            control=self.control,
            promise=self.promise,
            status=status,  # type: ignore[arg-type]  # one of three words above
            evidence=evidence[:MAX_EVIDENCE],
            remedy=remedy,
        )


async def examine_trial(
    runner: Runner, trial: Trial, probes: Sequence[Probe], *, sentry: bool = False, read_back: bool = False
) -> list[Finding]:
    """Runs ``trial`` and lets each of ``probes`` judge it. Raises nothing: what cannot be run is unknown."""
    try:
        with anyio.fail_after(TRIAL_TIME):
            result, report = await _perform(runner, trial)
    except Garbled as error:
        return [probe.unknown(str(error)) for probe in probes]
    except TimeoutError:
        return [probe.unknown(f"The trial was not over after {TRIAL_TIME} s.") for probe in probes]
    except SandboxError as error:
        remedy = "run: sandbox-runner setup" if isinstance(error, ImageNotFound) else ""
        return [probe.unknown(str(error), remedy=remedy) for probe in probes]
    outcome = Outcome(result, report, sentry=sentry, read_back=read_back)
    return [probe.finding(outcome) for probe in probes]


async def _perform(runner: Runner, trial: Trial) -> tuple[RunResult, Mapping[str, object]]:
    request = RunRequest(
        language="python",
        code=(_PROGRAMS / f"{trial.program}.py").read_text(),
        args=trial.args,
        limits=trial.limits,
    )
    for _ in range(trial.times):
        result = await runner.run(request)
        report = _report(result) if trial.reports else {}
    return result, report


def _report(result: RunResult) -> Mapping[str, object]:
    if not result.ok:
        ended = f"{result.status} {result.exit_code if result.exit_code is not None else result.signal or ''}"
        raise Garbled(f"the program ended as {ended.strip()}: {result.stderr.strip()[-200:]}")
    return parse_report(result.stdout)
