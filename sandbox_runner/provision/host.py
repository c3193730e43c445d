"""What this machine is, as far as installing an engine on it goes."""

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """``system`` as `platform.system` says it. ``debian``: Debian or a child of it, with apt-get."""

    system: str
    debian: bool
    root: bool
    systemd: bool


def this_host() -> Host:
    """The machine this process runs on."""
    return Host(
        system=platform.system(),
        debian=_is_debian() and shutil.which("apt-get") is not None,
        root=os.name == "posix" and os.geteuid() == 0,
        systemd=Path("/run/systemd/system").is_dir(),
    )


def _is_debian() -> bool:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return False
    return "debian" in (release.get("ID", ""), *release.get("ID_LIKE", "").split())
