"""A Docker daemon of the tests' own, whose disk is a small filesystem in memory that a test may fill."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import docker.errors
import tenacity

from sandbox_runner.engines.docker.connection import connect
from sandbox_runner.errors import EngineUnavailable

_WAIT = 60  # seconds: a bound for a loaded machine

_until_it_answers = tenacity.retry(
    retry=tenacity.retry_if_exception_type((EngineUnavailable, docker.errors.DockerException)),
    wait=tenacity.wait_fixed(0.1),
    stop=tenacity.stop_after_delay(_WAIT),
    reraise=True,
)
_until_it_is_free = tenacity.retry(
    retry=tenacity.retry_if_exception_type(subprocess.CalledProcessError),
    wait=tenacity.wait_fixed(0.1),
    stop=tenacity.stop_after_delay(_WAIT),
    reraise=True,
)


@contextmanager
def own_daemon(folder: Path, *, size: str) -> Iterator[str]:
    """The address of a daemon that keeps all it has on a tmpfs of ``size``, mounted at ``folder``/data."""
    dockerd = shutil.which("dockerd", path="/usr/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin")
    assert dockerd, "dockerd is not on this machine; install it: sandbox-runner setup --yes"
    data, address = folder / "data", f"unix://{folder}/d.sock"
    data.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(data)]
    made = subprocess.run(mount, check=False, capture_output=True, text=True)
    assert made.returncode == 0, f"this test mounts a small filesystem; run it as root: {made.stderr}"
    # In a network of its own: without a bridge it would take away the one of the machine's daemon.
    command = [
        "unshare",
        "--net",
        dockerd,
        "--host",
        address,
        "--data-root",
        str(data),
        "--exec-root",
        str(folder / "exec"),
    ]
    command += ["--pidfile", str(folder / "pid"), "--bridge=none", "--iptables=false"]
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _until_it_answers(lambda: connect(address).close())()
        yield address
    finally:
        daemon.terminate()
        daemon.wait(_WAIT)
        _until_it_is_free(lambda: subprocess.run(["umount", str(data)], check=True, capture_output=True))()


def fill(folder: Path) -> None:
    """Leaves not a byte free on the filesystem of ``folder``."""
    with suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(1 << 20))
