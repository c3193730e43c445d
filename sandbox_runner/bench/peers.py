"""The bare interpreter and the other ways to run a Python program, each as a command that is spawned."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from sandbox_runner import hardening
from sandbox_runner.bench.figure import BARE
from sandbox_runner.definitions import REPOSITORY
from sandbox_runner.engines.oci.store import find_stored, rootfs_of
from sandbox_runner.errors import EngineError
from sandbox_runner.hardening import BASE_ENV
from sandbox_runner.owner import current_owner, is_alive

T = TypeVar("T")

PROGRAM = "print(1)"
PRINTED = b"1\n"
PYTHON_IMAGE = f"{REPOSITORY}/python:latest"
_PURE = "-B"  # nothing is written into the root filesystem that all containers share
_ANSWER_TIME = 60  # seconds for the docker command
_EXEC_TIME = 7200  # seconds after which the container of `docker exec` ends, if nobody removes it
_EXEC_RUN = "bench-docker-exec"


@dataclass(frozen=True, slots=True)
class Peer:
    """A way to run ``python -I -c CODE``: the words in front of ``-I``, and the environment.

    ``about`` says which interpreter it is. ``fresh``: each run has a sandbox of its own.
    """

    name: str
    words: tuple[str, ...]
    about: str
    env: tuple[tuple[str, str], ...] = tuple(BASE_ENV.items())
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class Ended(Generic[T]):
    """A process that has ended: what was read of it, and the CPU time, in seconds, of it and its children."""

    value: T
    cpu: float


def spawn(peer: Peer, code: str | None, read: Callable[[int], T]) -> Ended[T]:
    """Runs ``code``; ``read`` is given a descriptor of its stdout. Blocks.

    None for one whose words say already what to run.

    Raises EngineError where it fails.
    """
    reader, writer = os.pipe()
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writer, 1),
        ]
        argv = peer.words if code is None else (*peer.words, "-I", "-c", code)
        try:
            pid = os.posix_spawn(argv[0], argv, dict(peer.env), file_actions=actions)
        finally:
            os.close(writer)
        value = read(reader)
        _, status, used = os.wait4(pid, 0)
    finally:
        os.close(reader)
    if status != 0:
        raise EngineError(f"{peer.name} failed with status {os.waitstatus_to_exitcode(status)}.")
    return Ended(value, used.ru_utime + used.ru_stime)


def run_once(peer: Peer) -> tuple[float, float]:
    """The milliseconds from the spawn of `PROGRAM` to its end, and of its CPU time. Blocks.

    Raises EngineError where it fails or prints something else.
    """
    began = time.perf_counter()
    ended = spawn(peer, PROGRAM, read_all)
    took = time.perf_counter() - began
    if ended.value != PRINTED:
        raise EngineError(f"{peer.name} printed {ended.value[:100]!r}.")
    return took * 1000, ended.cpu * 1000


def read_all(descriptor: int) -> bytes:
    """What there is to its end."""
    pieces = []
    while piece := os.read(descriptor, 1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def find_baseline() -> Peer:
    """The interpreter of our image as a plain process, or else this machine's own."""
    stored = find_stored("python")
    if stored is not None:
        for peer in _image_interpreters(rootfs_of(stored.id)):
            if _works(peer):
                return peer
    real = str(Path(shutil.which("python3", path="/usr/bin:/usr/local/bin") or shutil.which("python3") or "")
               .resolve())  # fmt: skip
    return Peer(BARE, (real,), "this machine's python3 by its real path, as a plain process")


def _image_interpreters(rootfs: Path) -> Iterator[Peer]:
    loaders = sorted(rootfs.glob("usr/lib*/ld-linux*.so*"))
    libraries = ":".join(str(folder) for folder in sorted(rootfs.glob("usr/lib/*-linux-gnu*")))
    program = (rootfs / "usr/bin/python3").resolve()
    for loader in loaders:
        words: tuple[str, ...] = (
            str(loader),
            "--library-path",
            libraries,
            "--argv0",
            str(program),
            str(program),
            _PURE,
        )
        yield Peer(BARE, words, "the image's own interpreter through its own loader, as a plain process")
    chroot = shutil.which("chroot", path="/usr/sbin:/usr/bin")
    if chroot:
        words = (chroot, str(rootfs), "/usr/bin/python3", _PURE)
        yield Peer(BARE, words, "the image's own interpreter in a chroot, whose command is in the time")


def _works(peer: Peer) -> bool:
    """Whether its library is the image's, and not this machine's."""
    code = "import os, sys; print(os.path.realpath(os.__file__).startswith(sys.argv[1]))"
    root = "/" if "chroot" in peer.words[0] else str(Path(peer.words[-2]).parents[2])
    with suppress(EngineError, OSError):
        said = subprocess.run([*peer.words, "-I", "-c", code, root], env=dict(peer.env), capture_output=True)
        return said.stdout == b"True\n"
    return False


@contextmanager
def opened_peers() -> Iterator[tuple[list[Peer], dict[str, str]]]:
    """The peers that this machine has, and why it has not the others."""
    peers: list[Peer] = []
    missing: dict[str, str] = {}
    if (bwrap := _bwrap()) is not None:
        peers.append(bwrap)
    else:
        missing["bwrap"] = "not installed, or it cannot run here"
    docker = shutil.which("docker")
    if docker is None or _call(docker, "image", "inspect", PYTHON_IMAGE) is None:
        missing["docker run, docker exec"] = "no docker command that finds the image"
        yield peers, missing
        return
    with _exec_container(docker) as container:
        environ = tuple(os.environ.items())  # it leads to the engine
        run = (docker, "run", "--rm", "--network=none", "--entrypoint=python3", PYTHON_IMAGE)
        peers.append(Peer("docker run", run, "a container of the image by the docker command", environ))
        inside = (docker, "exec", container, "python3")
        peers.append(Peer("docker exec", inside, "in one container for all", environ, fresh=False))
        yield peers, missing


@contextmanager
def _exec_container(docker: str) -> Iterator[str]:
    _remove_left(docker)
    options = ("--detach", "--rm", "--network=none", "--entrypoint=sleep")
    labels = [f"--label={name}={value}" for name, value in _labels().items()]
    container = _call(docker, "run", *options, *labels, PYTHON_IMAGE, str(_EXEC_TIME))
    if container is None:
        raise EngineError("docker run started no container for docker exec.")
    try:
        yield container
    finally:
        _call(docker, "rm", "--force", container)


def _labels() -> dict[str, str]:
    """Those of our own containers, so that `ps` and `reap` find it after a crash."""
    created = int(time.time())
    return {
        hardening.LABEL_MANAGED: "1",
        hardening.LABEL_RUN: _EXEC_RUN,
        hardening.LABEL_INSTANCE: _EXEC_RUN,
        hardening.LABEL_OWNER: current_owner(),
        hardening.LABEL_CREATED: str(created),
        hardening.LABEL_DEADLINE: str(created + _EXEC_TIME),
    }


def _remove_left(docker: str) -> None:
    """Removes what a bench that was killed left."""
    ours = f"label={hardening.LABEL_RUN}={_EXEC_RUN}"
    told = f'{{{{.ID}}}} {{{{.Label "{hardening.LABEL_OWNER}"}}}}'
    listed = _call(docker, "ps", "--all", "--no-trunc", f"--filter={ours}", f"--format={told}") or ""
    for container, owner in (line.split() for line in listed.splitlines()):
        if is_alive(owner) is False:
            _call(docker, "rm", "--force", container)


def _call(*command: str) -> str | None:
    """What it prints; None where it fails."""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_TIME, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return ran.stdout.strip()


def _bwrap() -> Peer | None:
    found, stored = shutil.which("bwrap"), find_stored("python")
    if found is None:
        return None
    rootfs = rootfs_of(stored.id) if stored else Path("/")
    words = (
        found, "--ro-bind", str(rootfs), "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",  # noqa: S108 - its own
        "--unshare-all", "--new-session", "--die-with-parent", "/usr/bin/python3",
    )  # fmt: skip
    peer = Peer("bwrap", words, "bubblewrap without limits or a filter, on the same root filesystem")
    try:
        run_once(peer)
    except (EngineError, OSError):
        return None
    return peer
