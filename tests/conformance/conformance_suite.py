"""The protocol's own conformance suite, run against a server that listens, and what it found."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from node_tools import npm_tool, with_node

PACKAGE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
RUN = 180  # seconds for one set of requirements; it takes about three on an idle machine

_FOLDER = re.compile(r"server-(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z")
_UNSCORED = re.compile(r"^  [✓✗] (\S+) \(", re.MULTILINE)


@dataclass(frozen=True)
class Findings:
    """What one run of the suite found: the checks of each scenario, and which scenarios do not count."""

    scenarios: dict[str, list[dict[str, object]]]
    unscored: frozenset[str]

    def passed(self, scenario: str) -> int:
        """How many checks of ``scenario`` succeeded; what was skipped did not."""
        return sum(check["status"] == "SUCCESS" for check in self.scenarios.get(scenario, ()))

    def failures(self, scenario: str) -> list[str]:
        """What failed, as the suite says it."""
        checks = self.scenarios.get(scenario, ())
        return [
            f"{check['id']}: {check.get('errorMessage')} {check.get('details', '')}"
            for check in checks
            if check["status"] == "FAILURE"
        ]

    @property
    def scored(self) -> frozenset[str]:
        """The scenarios that the revision requires."""
        return frozenset(self.scenarios) - self.unscored


def run_suite(url: str, revision: str, folder: Path) -> Findings:
    """Runs what ``revision`` requires of a server at ``url``; keeps the suite's own files in ``folder``."""
    command = [*npm_tool(PACKAGE, "conformance"), "server", "--url", url]
    command += ["--requirements", revision, "--output-dir", str(folder)]
    done = subprocess.run(
        command, cwd=folder, env=with_node(), capture_output=True, text=True, timeout=RUN, check=False
    )
    scenarios = {}
    for path in sorted(folder.glob("*/checks.json")):
        named = _FOLDER.fullmatch(path.parent.name)
        assert named, f"the suite names its folders differently now: {path}"
        scenarios[named["scenario"]] = json.loads(path.read_text())
    assert scenarios, f"the suite did not run:\n{done.stdout}{done.stderr}"
    _, marker, unscored = done.stdout.partition(f"Not scored for {revision}:")
    assert marker, f"the suite reports differently now:\n{done.stdout[-4000:]}"
    return Findings(scenarios, frozenset(_UNSCORED.findall(unscored)))
