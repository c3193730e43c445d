"""Talks to the agent in a real container: a container around it, frames to and fro.

The engine is the one that `docker.from_env` finds.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import docker

from sandbox_runner.agent import protocol
from sandbox_runner.engines.docker.demux import Demux
from sandbox_runner.engines.docker.removal import state_of
from sandbox_runner.hardening import AGENT_ARGV

UID = 31234
PATIENCE = 60  # seconds for a frame; only a broken agent is waited for that long
PYTHON = ("/usr/bin/python3", "-I", "-c")


@dataclass
class Result:
    """What came back for one job; ``exit`` or ``failed`` (stage, errno, message) is set."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    exit: protocol.Exit | None = None
    failed: tuple[int, int, str] | None = None
    kinds: list[int] = field(default_factory=list)
    warm: bool | None = None  # whether STARTED said so
    files: dict[bytes, bytearray] = field(default_factory=dict)
    executable: list[bytes] = field(default_factory=list)
    value: bytearray = field(default_factory=bytearray)

    @property
    def end(self) -> protocol.Exit:
        """The EXIT of a job that ran."""
        assert self.exit is not None, self.failed
        return self.exit


class AgentContainer:
    """A container whose PID 1 is the agent, and the host's side of the conversation."""

    def __init__(
        self,
        client: docker.DockerClient,
        image: str,
        *,
        pid1: Sequence[str] = AGENT_ARGV,
        body: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        """``body`` is all of the engine's create body, instead of the settings of these tests."""
        self._api = client.api
        self.id = (
            str(self._api.create_container_from_config(dict(body))["Id"])
            if body
            else self._create(image, pid1, changes)
        )
        self._attached = self._api.attach_socket(self.id, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        self.socket = self._attached._sock
        self.socket.settimeout(PATIENCE)
        self._demux, self._splitter = Demux(), protocol.Splitter()
        self._frames: list[tuple[int, int, bytes]] = []
        self.messages = b""  # what PID 1 itself wrote to its stderr
        self._api.start(self.id)

    def _create(self, image: str, pid1: Sequence[str], changes: Mapping[str, Any]) -> str:
        owner = f"uid={UID},gid={UID}"
        settings = {
            "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true", "seccomp=unconfined"],
            "read_only": True, "network_mode": "none", "mem_limit": "512m", "memswap_limit": "512m",
            "pids_limit": 128, "nano_cpus": 2_000_000_000, "auto_remove": True, "cgroupns": "private",
            "shm_size": 1 << 24, "log_config": {"Type": "none"},
            "tmpfs": {
                "/workspace": f"rw,nosuid,nodev,exec,size=256m,nr_inodes=65536,mode=0700,{owner}",
                "/tmp": "rw,nosuid,nodev,noexec,size=64m,nr_inodes=4096,mode=1777",
            },
        } | changes  # fmt: skip
        cgroupns = settings.pop("cgroupns")
        host_config = self._api.create_host_config(**settings)
        host_config["CgroupnsMode"] = cgroupns
        created = self._api.create_container(
            image,
            list(pid1),
            user=f"{UID}:{UID}", working_dir="/workspace", hostname="sandbox", network_disabled=True,
            environment={"SECRET": "of-pid-1"}, stdin_open=True, host_config=host_config,
        )  # fmt: skip
        return str(created["Id"])

    def send(self, kind: int, payload: bytes = b"", *, job: int = 1) -> None:
        """Sends one frame."""
        self.socket.sendall(protocol.frame(kind, job, payload))

    def receive(self) -> tuple[int, int, bytes]:
        """The next frame. Raises EOFError at the end of the stream."""
        while not self._frames:
            data = self.socket.recv(1 << 18)
            if not data:
                raise EOFError(self.messages.decode(errors="replace"))
            for stream, piece in self._demux.feed(data):
                if stream == "stdout":
                    self._frames += self._splitter.feed(piece)
                else:
                    self.messages += piece
        return self._frames.pop(0)

    def greet(self) -> int:
        """Waits for HELLO, and returns its flags."""
        kind, job, payload = self.receive()
        assert (kind, job) == (protocol.HELLO, 0)
        version, flags = protocol.HELLO_BODY.unpack(payload)
        assert version == protocol.VERSION
        return int(flags)

    def send_file(self, path: str, data: bytes, *, mode: int = 0o644, job: int = 1) -> None:
        """Sends one file in pieces."""
        self.send(protocol.FILE, mode.to_bytes(4, "big") + os.fsencode(path), job=job)
        for start in range(0, len(data), 1 << 16):
            self.send(protocol.FILE_DATA, data[start : start + (1 << 16)], job=job)
        self.send(protocol.FILE_END, job=job)

    def start(
        self, argv: Sequence[str], *, job: int = 1, env: Iterable[str] = ("PATH=/usr/bin:/bin",),
        cwd: str = "/workspace", wall_time: float = 50, cpu_time: float = 50, output: int = 1 << 26,
        artifacts: Iterable[str] = (), artifact_count: int = 16, artifact_size: int = 4 << 20,
        artifact_bytes: int = 8 << 20, session: bool = False, kernel: str = "",
    ) -> None:  # fmt: skip
        """Sends JOB."""
        payload = protocol.pack_job(
            argv=[os.fsencode(word) for word in argv], env=[os.fsencode(word) for word in env],
            cwd=os.fsencode(cwd), wall_time=wall_time, cpu_time=cpu_time, output=output,
            artifacts=[pattern.encode() for pattern in artifacts], artifact_count=artifact_count,
            artifact_size=artifact_size, artifact_bytes=artifact_bytes, session=session,
            kernel=kernel.encode(),
        )  # fmt: skip
        self.send(protocol.JOB, payload, job=job)

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", job: int = 1, **settings: Any) -> Result:
        """One job from JOB to its end; ``stdin`` has to fit into the first credit."""
        self.start(argv, job=job, **settings)
        if stdin:
            self.send(protocol.STDIN, stdin, job=job)
        self.send(protocol.STDIN_EOF, job=job)
        return self.finish(job=job)

    def exchange(self, data: bytes, *, job: int = 1) -> Result:
        """Sends ``data`` as the program's stdin, as credit allows, and takes in frames until the end."""
        result = Result()
        position, credit = 0, protocol.STDIN_WINDOW
        while result.exit is None and result.failed is None:
            piece = data[position : position + min(credit, 1 << 16)]
            if piece:
                self.send(protocol.STDIN, piece, job=job)
                position, credit = position + len(piece), credit - len(piece)
                if position == len(data):
                    self.send(protocol.STDIN_EOF, job=job)
            else:
                credit += self._take_in(result, job)
        return result

    def finish(self, *, job: int = 1) -> Result:
        """Takes in frames until the job is over."""
        result = Result()
        while result.exit is None and result.failed is None:
            self._take_in(result, job)
        return result

    def close(self) -> None:
        """Closes the channel, whereupon the container is to go away."""
        self.socket.close()
        self._attached._response.close()

    def ended_by_itself(self) -> bool:
        """Closes the channel; whether the container then goes away without further help."""
        self.close()
        began = time.monotonic()
        # Asked again and again: a wait for the removal that comes in its midst is never answered.
        while state_of(self._api, self.id) is not None:
            if time.monotonic() - began > PATIENCE:
                self._api.remove_container(self.id, force=True)
                return False
        return True

    def processes(self) -> list[str]:
        """The commands that run in the container, as the engine sees them."""
        return [row[0] for row in self._api.top(self.id, "-eo comm,pid")["Processes"]]

    def _take_in(self, result: Result, job: int) -> int:
        """Adds the next frame to ``result``; the credit in it."""
        kind, number, payload = self.receive()
        assert number == job, (kind, number)
        result.kinds.append(kind)
        if kind == protocol.STDOUT:
            result.stdout += payload
        elif kind == protocol.STDERR:
            result.stderr += payload
        elif kind == protocol.ARTIFACT:
            _, flags = protocol.ARTIFACT_BODY.unpack_from(payload)
            path = payload[protocol.ARTIFACT_BODY.size :]
            result.files[path] = bytearray()
            if flags & protocol.EXECUTABLE:
                result.executable.append(path)
        elif kind == protocol.ARTIFACT_DATA:
            result.files[next(reversed(result.files))] += payload
        elif kind == protocol.RETURNED:
            result.value += payload
        elif kind == protocol.EXIT:
            result.exit = protocol.Exit.unpack(payload)
        elif kind == protocol.FAILED:
            stage, errno = protocol.FAILED_BODY.unpack_from(payload)
            result.failed = stage, errno, payload[protocol.FAILED_BODY.size :].decode()
        elif kind == protocol.CREDIT:
            return int.from_bytes(payload, "big")
        else:
            assert kind == protocol.STARTED, kind
            result.warm = payload == bytes([protocol.WARM])
        return 0


StartAgent = Callable[..., AgentContainer]
