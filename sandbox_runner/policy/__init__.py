"""Decides: what a caller asked for, against what the operator allows, becomes a container.

Everything here is pure. `check` refuses what can be refused without an engine; `admit`
does the same and then writes the `ContainerSpec` and the `Job`, and nothing else does.
"""

from sandbox_runner.policy.admission import admit
from sandbox_runner.policy.checks import check
from sandbox_runner.policy.in_sessions import admit_session, admit_step
from sandbox_runner.policy.rules import Ceilings, Policy, Terms, container_limits, image_name
from sandbox_runner.policy.terms import check_terms

__all__ = [
    "Ceilings",
    "Policy",
    "Terms",
    "admit",
    "admit_session",
    "admit_step",
    "check",
    "check_terms",
    "container_limits",
    "image_name",
]
