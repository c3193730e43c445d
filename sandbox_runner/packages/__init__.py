"""Packages that a run asks for, installed once into an image derived from its language's.

The installer runs in a container like that of any run: no network, no capabilities, read-only root, an
unprivileged user, bounded time, memory and disk. Its index is a server on the container's own loopback, and
what that is asked for goes through the agent's channel to this process, which fetches it: by GET alone, from
the configured index and the hosts named beside it, and no package that is refused, whoever needs it.

Why so. A network that leads to the index only would need a proxy, certificates and perhaps a password inside,
and rules of a firewall that differ between Docker, Docker Desktop, a remote engine and none; this way needs
nothing of an engine that a run does not need, and neither passwords nor certificates leave the host. The
installer is not run on the host, as it parses what strangers wrote; this process only forwards bytes, and
takes files back one by one under names that it checks. Nothing of a package is executed: pip takes wheels
only, npm runs no scripts. What Python would execute at its start (`.pth` files, `sitecustomize`) is left
out, because PID 1 is a Python, too.

    request → requirements → digest with the image's → kept? else builder → layer → engine.derive → image
"""

from sandbox_runner.packages.images import PackageImages
from sandbox_runner.packages.kept import Installed, KeptPackages, forget_packages, kept_packages

__all__ = [
    "Installed",
    "KeptPackages",
    "PackageImages",
    "forget_packages",
    "kept_packages",
]
