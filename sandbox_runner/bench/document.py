"""All measures, one after the other, and the document that they make."""

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from sandbox_runner.bench import llm_sandbox
from sandbox_runner.bench.bandwidth import measure_bandwidth
from sandbox_runner.bench.burst import measure_burst
from sandbox_runner.bench.cold import measure_cold
from sandbox_runner.bench.facts import machine_facts
from sandbox_runner.bench.figure import Figure
from sandbox_runner.bench.idle import measure_idle
from sandbox_runner.bench.latency import measure_latency
from sandbox_runner.bench.peers import find_baseline, opened_peers
from sandbox_runner.bench.plan import Plan, find_subjects
from sandbox_runner.bench.steps import measure_steps
from sandbox_runner.bench.sustained import measure_sustained
from sandbox_runner.bench.warm import measure_warm
from sandbox_runner.config import Config
from sandbox_runner.errors import EngineError, EngineUnavailable, SandboxError

FORMAT = 1
MEASURES: dict[str, Callable[[Plan], Awaitable[list[Figure]]]] = {
    "cold": measure_cold,
    "warm": measure_warm,
    "session": measure_steps,
    "sustained": measure_sustained,
    "burst": measure_burst,
    "latency": measure_latency,
    "bandwidth": measure_bandwidth,
    "idle": measure_idle,
}


async def measure(
    config: Config,
    *,
    engines: Sequence[str],
    names: Sequence[str],
    quick: bool,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """The document: ``facts``, ``baseline``, ``figures``, and under ``missing`` why something is not in it.

    Measures over those of ``engines`` that are ready. A measure that fails is missing, the others are made.
    Raises EngineUnavailable where no engine is ready, and EngineError where no measure could be made.
    """
    facts = machine_facts()
    baseline = find_baseline()
    figures: list[Figure] = []
    failed: dict[str, str] = {}
    with opened_peers() as (peers, no_peers):
        subjects, no_engines = await find_subjects(config, engines)
        if not subjects:
            raise EngineUnavailable(" ".join(no_engines.values()))
        no_llm_sandbox = await llm_sandbox.trouble()
        plan = Plan(
            subjects=subjects,
            baseline=baseline,
            peers=peers,
            llm_sandbox=no_llm_sandbox is None,
            quick=quick,
            report=report,
        )
        for name in names:
            report(name)
            try:
                figures += await MEASURES[name](replace(plan, report=partial(_report_step, report, name)))
            except* SandboxError as errors:  # some come out of a task group
                failed[name] = str(_first(errors))
                report(f"{name}: failed: {failed[name]}")
    if not figures:
        raise EngineError(" ".join(failed.values()))
    if no_llm_sandbox is not None:
        no_peers["llm-sandbox"] = no_llm_sandbox
    return {
        "format": FORMAT,
        "quick": quick,
        "facts": {**facts, "load_after": round(os.getloadavg()[0], 2)},
        "baseline": baseline.about,
        "missing": {**no_engines, **no_peers, **failed},
        "figures": [asdict(each) for each in figures],
    }


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _report_step(report: Callable[[str], None], name: str, step: str) -> None:
    report(f"{name}: {step}")
