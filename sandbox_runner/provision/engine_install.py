"""Finds a Docker engine, or installs and starts one where this machine allows it."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from sandbox_runner.errors import EngineUnavailable
from sandbox_runner.provision import packages
from sandbox_runner.provision.commands import LAST_LINES, CommandFailed, run_command
from sandbox_runner.provision.host import Host
from sandbox_runner.provision.progress import Consent, Progress, Report
from sandbox_runner.provision.state import Daemon, load_state, save_state

if TYPE_CHECKING:
    from docker import APIClient

Connect = Callable[[], "APIClient"]
"""Connects to the engine, or raises EngineUnavailable."""

_START_TIMEOUT = 90  # seconds until a started engine must answer
_PAUSE = 0.25  # seconds between two attempts
_LOG = "dockerd.log"


def ensure_engine(
    connect: Connect, *, host: Host, folder: Path, remote: bool, consent: Consent, report: Report
) -> "APIClient":
    """An engine that answers; with ``consent`` one is installed or started, which ``folder`` records.

    ``remote``: the engine was named by its address, so none of this machine can stand in for it.
    Raises EngineUnavailable, whose message says what to do.
    """
    try:
        return connect()
    except EngineUnavailable as error:
        if remote or "refuses this user" in str(error):
            raise
    if host.system != "Linux" or not host.root:
        raise EngineUnavailable(f"No Docker engine answers. {_advice(host)}")
    try:
        if shutil.which("dockerd") is None:
            _install(host, folder, consent, report)
        elif not consent("Start the Docker engine that is installed on this machine."):
            raise EngineUnavailable(
                "The Docker engine is not running; start it, or run: sandbox-runner setup --yes"
            )
        return _start(connect, host, folder, report)
    except CommandFailed as error:
        raise EngineUnavailable(_with_lines(str(error), error.lines)) from error


def _advice(host: Host) -> str:
    if host.system in ("Darwin", "Windows"):
        return "Install and start Docker Desktop, then run: sandbox-runner setup"
    if host.debian:
        return (
            "Run `sudo sandbox-runner setup --yes`, which installs and starts one, or do it yourself: "
            "sudo apt-get install docker.io && sudo systemctl enable --now docker && "
            "sudo usermod -aG docker $USER; then log in again and run: sandbox-runner setup"
        )
    return (
        "Install one from this distribution's packages (Fedora: dnf install moby-engine; Arch: pacman -S "
        "docker; openSUSE: zypper install docker; Alpine: apk add docker), start it (systemctl enable "
        "--now docker), then run: sandbox-runner setup"
    )


def _install(host: Host, folder: Path, consent: Consent, report: Report) -> None:
    if not host.debian:
        raise EngineUnavailable(f"No Docker engine is installed. {_advice(host)}")
    wanted = _wanted(host)
    if not consent(
        f"Install the Debian packages {', '.join(wanted)} with apt-get and start the Docker engine."
    ):
        raise EngineUnavailable(
            "No Docker engine is installed; `sandbox-runner setup --yes` installs one with apt-get."
        )
    packages.install(
        wanted, folder=folder, on_line=lambda line: report(Progress("engine", "docker.io", line))
    )


def _wanted(host: Host) -> tuple[str, ...]:
    wanted = ["docker.io", "ca-certificates"]
    apparmor = Path("/sys/module/apparmor/parameters/enabled")
    if apparmor.is_file() and apparmor.read_text().startswith("Y"):
        wanted.append("apparmor")  # the engine then insists on loading a profile
    if not host.systemd and not _has_cgroups():
        wanted.append("cgroupfs-mount")
    return tuple(wanted)


def _has_cgroups() -> bool:
    return any(
        line.split()[2].startswith("cgroup") for line in Path("/proc/self/mounts").read_text().splitlines()
    )


def _start(connect: Connect, host: Host, folder: Path, report: Report) -> "APIClient":
    report(Progress("engine", "docker", "Starting the Docker engine."))
    if host.systemd:
        return _start_service(connect, folder, report)
    if not _has_cgroups() and shutil.which("cgroupfs-mount"):
        run_command(
            ("cgroupfs-mount",), on_line=lambda line: report(Progress("engine", "docker", line)), timeout=60
        )
    return start_dockerd(connect, folder=folder)


def _start_service(connect: Connect, folder: Path, report: Report) -> "APIClient":
    run_command(
        ("systemctl", "start", "docker"),
        on_line=lambda line: report(Progress("engine", "docker", line)),
        timeout=_START_TIMEOUT,
    )
    save_state(folder, replace(load_state(folder), service=True))
    return _answering(connect, lambda: True, lambda: "see: journalctl -u docker")


def start_dockerd(connect: Connect, *, folder: Path, arguments: Sequence[str] = ()) -> "APIClient":
    """Starts dockerd detached from this process, its log in ``folder``, where it is recorded.

    Returns when it answers. Raises EngineUnavailable with the end of the log where it ends or
    does not answer in time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / _LOG
    with log.open("wb") as output:
        process = subprocess.Popen(
            ("dockerd", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
        )
    daemon = Daemon(process.pid, psutil.Process(process.pid).create_time())
    save_state(folder, replace(load_state(folder), daemon=daemon))
    try:
        return _answering(connect, lambda: process.poll() is None, lambda: _tail(log))
    except EngineUnavailable:
        stop_daemon(daemon)
        save_state(folder, replace(load_state(folder), daemon=None))
        raise


def _answering(connect: Connect, is_alive: Callable[[], bool], evidence: Callable[[], str]) -> "APIClient":
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        alive = is_alive()
        try:
            return connect()
        except EngineUnavailable as error:
            if not alive:
                raise EngineUnavailable(
                    f"The Docker engine ended as soon as it was started: {evidence()}"
                ) from error
            if time.monotonic() > deadline:
                raise EngineUnavailable(
                    f"The Docker engine does not answer {_START_TIMEOUT} s after its start: {evidence()}"
                ) from error
        time.sleep(_PAUSE)


def stop_daemon(daemon: Daemon) -> bool:
    """Ends the dockerd that setup started; False where it is gone already."""
    try:
        process = psutil.Process(daemon.pid)
        if process.create_time() != daemon.created:
            return False
        process.terminate()
        process.wait(timeout=30)
    except psutil.NoSuchProcess:
        return False
    except psutil.TimeoutExpired:
        process.kill()
    return True


def remove_log(folder: Path) -> None:
    """Removes the log of a dockerd that is no more."""
    (folder / _LOG).unlink(missing_ok=True)


def _tail(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").splitlines()[-LAST_LINES:]
    return os.linesep.join((f"the end of {log}:", *lines))


def _with_lines(message: str, lines: Sequence[str]) -> str:
    return os.linesep.join((message, *lines))
