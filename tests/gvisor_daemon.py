"""A daemon of the tests' own, with runsc registered rightly and in ways that must be refused."""

import ctypes
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import TypeVar

from docker import APIClient

from sandbox_runner.definitions import image_tag
from sandbox_runner.engines.docker.connection import connect
from sandbox_runner.provision.engine_install import start_dockerd, stop_daemon
from sandbox_runner.provision.state import load_state

T = TypeVar("T")
_NEWNET = 0x40000000  # sched.h
RUNSC = "/usr/bin/runsc"
USED = (
    "base",
    "shell",
    "python",
)  # the images that tests with gVisor use: to copy all takes a minute
RIGHT = ("--network=none", "--oci-seccomp")
REFUSED = {  # a registration, and what the refusal names
    "without-cgroups": ((*RIGHT, "--ignore-cgroups"), "memory, cpus and pids"),
    "without-seccomp": (("--network=none",), "seccomp"),
    "with-seccomp-off": (("--network=none", "--oci-seccomp=false"), "seccomp"),
    "with-network": (("--network=host", "--oci-seccomp"), "net.none"),
    "with-a-network-stack": (("--oci-seccomp",), "net.none"),
    "with-sockets-of-the-host": ((*RIGHT, "--host-uds=all"), "host-uds"),
    "with-what-nobody-knows": ((*RIGHT, "--new-flag"), "new-flag"),
}
LIAR = """#!/bin/sh
for word do
    shift
    [ "$word" = "{dropped}" ] || set -- "$@" "$word"
done
exec /usr/bin/runsc {added} "$@"
"""
LIES = {  # what the program drops and adds, and what the refusal names
    "ignores-cgroups": ("", "--ignore-cgroups", "memory, cpus and pids"),
    "has-no-filter": ("--oci-seccomp", "", "seccomp"),
    "has-a-network-stack": ("--network=none", "--network=host", "net.none"),
}
_QUIET = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")


@contextmanager
def gvisor_daemon(images_from: APIClient, folder: Path) -> Iterator[str]:
    """The address of a daemon that has the images of `USED`. ``folder`` is its own and is gone in the end."""
    address = f"unix://{folder}/docker.sock"
    config = folder / "daemon.json"
    config.write_text(json.dumps({"runtimes": _runtimes(folder)}))
    arguments = (
        "--config-file", str(config), "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec",
        "--pidfile", f"{folder}/pid", "--host", address, *_QUIET,
    )  # fmt: skip
    try:
        start = partial(start_dockerd, lambda: connect(address), folder=folder, arguments=arguments)
        with closing(_in_a_network_of_its_own(start)) as client:
            for _ in client.load_image(_exported(images_from)):  # it is over when all is read
                pass
            yield address
    finally:
        daemon = load_state(folder).daemon
        if daemon is not None:
            stop_daemon(daemon)
        rmtree(folder)


def _in_a_network_of_its_own(call: Callable[[], T]) -> T:
    """``call()`` in a thread with a network namespace of its own, which what it starts inherits.

    A daemon without a bridge removes docker0, be it another daemon's.
    """

    def apart() -> T:
        if ctypes.CDLL(None, use_errno=True).unshare(_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "no network namespace can be made")
        return call()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(apart).result()


def _exported(client: APIClient) -> Iterator[bytes]:
    """The images of `USED`, as one archive: what they share is once in it.

    The SDK exports but one at a time.
    """
    tags = [image_tag(name) for name in USED]
    with client._get(client._url("/images/get"), params={"names": tags}, stream=True) as answer:
        yield from answer.iter_content(1 << 20)


def _runtimes(folder: Path) -> dict[str, object]:
    runtimes: dict[str, object] = {"runsc": {"path": RUNSC, "runtimeArgs": list(RIGHT)}}
    for name, (arguments, _) in REFUSED.items():
        runtimes[name] = {"path": RUNSC, "runtimeArgs": list(arguments)}
    for name, (dropped, added, _) in LIES.items():
        liar = folder / name / "runsc"
        liar.parent.mkdir()
        liar.write_text(LIAR.format(dropped=dropped, added=added))
        liar.chmod(0o755)
        runtimes[name] = {"path": str(liar), "runtimeArgs": list(RIGHT)}
    return {**runtimes, "of-another-kind": {"path": "/usr/bin/kata-runtime"}}
