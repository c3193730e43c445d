"""The init that is PID 1 beside a foreign program, as Docker's is: it reaps, and a signal ends the program.

The kernel keeps from PID 1 every signal that it does not handle, so a program in that place would survive
its own abort(3). It must be linked statically, as the image may have no library at all.
"""

import struct
from functools import cache
from pathlib import Path
from typing import Any

from sandbox_runner.errors import StartFailed

PACKAGE = "tini"  # Debian's
INSIDE = "/dev/init"  # on the container's own /dev, so that nothing is put into the image
_PLACES = (
    "/usr/bin/tini-static", "/sbin/tini-static", "/usr/bin/docker-init", "/usr/libexec/docker/docker-init",
    "/usr/libexec/podman/catatonit", "/usr/bin/catatonit", "/usr/local/bin/docker-init",
)  # fmt: skip
_INTERPRETER = 3  # elf(5): PT_INTERP, which only what is linked dynamically has


@cache
def find_init() -> Path:
    """A static init of this machine. Raises StartFailed where there is none."""
    for place in map(Path, _PLACES):
        if place.is_file() and _is_static(place):
            return place.resolve()
    raise StartFailed(
        "To run an image that is not ours the engine oci needs a static init: install the package "
        f"{PACKAGE} (apt-get install {PACKAGE}), which has tini-static."
    )


def with_init(config: dict[str, Any]) -> dict[str, Any]:
    """The bundle's ``config``, its program started by the init. Raises StartFailed."""
    mount = {
        "destination": INSIDE,
        "type": "bind",
        "source": str(find_init()),
        "options": ["bind", "ro", "nosuid", "nodev"],
    }
    process = {**config["process"], "args": [INSIDE, "--", *config["process"]["args"]]}
    return {**config, "process": process, "mounts": [*config["mounts"], mount]}


def _is_static(file: Path) -> bool:
    """elf(5): a 64-bit executable whose program headers name no interpreter."""
    with file.open("rb") as data:
        head = data.read(64)
        if len(head) < 64 or head[:5] != b"\x7fELF\x02":
            return False
        (offset,) = struct.unpack_from("<Q", head, 0x20)
        size, count = struct.unpack_from("<HH", head, 0x36)
        data.seek(offset)
        table = data.read(size * count)
    kinds = (struct.unpack_from("<I", table, start)[0] for start in range(0, len(table), size))
    return _INTERPRETER not in kinds
