"""How long a session may last: what was asked for, against what the operator allows."""

import math
from dataclasses import fields

from sandbox_runner.errors import InvalidRequest, LimitExceeded
from sandbox_runner.policy.rules import Policy, Terms


def check_terms(policy: Policy, *, ttl: float | None, idle: float | None, cpu_time: float | None) -> Terms:
    """The terms of a session, in seconds; None takes the policy's default.

    Raises InvalidRequest, and LimitExceeded above the ceiling, which the message names.
    """
    asked = {"ttl": ttl, "idle": idle, "cpu_time": cpu_time}
    return Terms(**{each.name: _checked(policy, each.name, asked[each.name]) for each in fields(Terms)})


def _checked(policy: Policy, name: str, value: float | None) -> float:
    ceiling: float = getattr(policy.session_ceilings, name)
    if value is None:
        return float(getattr(policy.session, name))
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InvalidRequest(f"{name} of a session must be seconds, more than 0, not {value!r}.")
    if value > ceiling:
        raise LimitExceeded(
            f"{name} of {value:g} is above the ceiling max_session_{name} of {ceiling:g}; ask for less."
        )
    return float(value)
