"""What the doctor found about one control."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "failed", "unknown", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One control on this host: what is promised, whether it holds, how that is known.

    ``failed``: the probe got through. ``unknown``: the probe could not run, which is as bad.
    ``warning``: it holds, but something should be changed, such as an old version.
    ``evidence`` is what the probe saw; ``remedy`` says what to do, empty where all is well.
    ``enforced_by`` is what holds the control under the runtime in use, empty where it is none of ours.
    """

    control: str
    promise: str
    status: Status
    evidence: str
    remedy: str = ""
    enforced_by: str = ""

    @property
    def holds(self) -> bool:
        """Whether the promise may be relied on."""
        return self.status in ("ok", "warning")
