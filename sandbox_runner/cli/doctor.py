"""`sandbox-runner doctor`: whether each promised control holds on this machine."""

import argparse
import asyncio
import json
from dataclasses import asdict

from sandbox_runner.cli.exits import emit
from sandbox_runner.cli.parsing import add_settings, settings
from sandbox_runner.cli.table import emit_line
from sandbox_runner.config import Config, load_config
from sandbox_runner.doctor import Finding, diagnose

EXAMPLES = """\
sandbox-runner doctor
sandbox-runner doctor --json | jq '.findings[] | select(.status != "ok")'"""
_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "unknown": "bold red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `doctor`."""
    parser.epilog = (
        parser.epilog or ""
    ) + "\n\nexit status: 0 all controls hold; 1 one does not, or is unknown"
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_settings(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Shows each finding as it is made; returns 1 where a control does not hold or could not be probed."""
    config = load_config(flags=settings(arguments)).config
    findings = asyncio.run(_diagnose(config, show=not arguments.json))
    sound = all(finding.holds for finding in findings)
    if arguments.json:
        emit(json.dumps({"ok": sound, "findings": [asdict(finding) for finding in findings]}))
    else:
        emit(_summary(findings))
    return 0 if sound else 1


async def _diagnose(config: Config, *, show: bool) -> list[Finding]:
    findings = []
    async for finding in diagnose(config):
        findings.append(finding)
        if show:
            _show(finding)
    return findings


def _show(finding: Finding) -> None:
    by = f" By {finding.enforced_by}." if finding.enforced_by else ""
    rest = f"{finding.control:<29} {finding.promise}{by}"
    emit_line(f"{finding.status:<8}", _STYLES[finding.status], rest)
    if finding.status == "ok":
        return
    emit_line(" " * 8, "", f"{'seen:':>29} {finding.evidence}")
    if finding.remedy:
        emit_line(" " * 8, "", f"{'remedy:':>29} {finding.remedy}")


def _summary(findings: list[Finding]) -> str:
    bad = [finding.control for finding in findings if not finding.holds]
    warnings = sum(finding.status == "warning" for finding in findings)
    if not bad:
        return f"All {len(findings)} findings are sound on this machine, {warnings} of them with a warning."
    return f"{len(bad)} of {len(findings)} findings cannot be relied on: {', '.join(bad)}."
