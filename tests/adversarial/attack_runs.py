"""Runs attack files side by side through one Runner, each in its own container, and looks for what they left.

A control is taken away by changing the ContainerSpec between policy and engine: the principal of a run
tells which, so that both forms of an attack run on the same engine at the same time.
"""

import json
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import psutil
from anyio import to_thread
from docker.errors import NotFound
from weakened import UNSEALED, weakened_argv

from sandbox_runner import Config, InputFile, Limits, Principal, Runner, RunRequest, RunResult
from sandbox_runner.engines.docker.connection import connect
from sandbox_runner.errors import SandboxError
from sandbox_runner.hardening import LABEL_PRINCIPAL
from sandbox_runner.request import Stdin
from sandbox_runner.spec import ContainerSpec

ATTACKS = Path(__file__).with_name("attacks")
Change = Callable[[ContainerSpec], ContainerSpec]

NO_FILTER = "no filter"
IN = "GOT IN"
PATIENT = Limits(wall_time=60)  # no attack is ended by the clock unless it is meant to be
_SAME_USER = 61_234


def _of_user(spec: ContainerSpec, uid: int) -> ContainerSpec:
    owned = tuple(mount if mount.uid is None else replace(mount, uid=uid) for mount in spec.tmpfs)
    return replace(spec, uid=uid, gid=uid, tmpfs=owned)


def weakened(spec: ContainerSpec, changes: Iterable[tuple[str, str]]) -> ContainerSpec:
    """``spec`` with a PID 1 built from a source with these changes; our own where there are none."""
    changes = tuple(changes)
    return replace(spec, argv=(*weakened_argv(*changes), *spec.argv[1:])) if changes else spec


# What is taken away, by name. Nothing here may let an attack of this folder change the host.
WITHOUT: dict[str, Change] = {
    "seccomp": lambda spec: replace(spec, seccomp=NO_FILTER),
    "capabilities dropped": lambda spec: replace(
        _of_user(spec, 0), capabilities=("CHOWN", "SETUID", "SETGID", "SETFCAP")
    ),
    "no_new_privileges": lambda spec: replace(spec, no_new_privileges=False),
    "read-only root": lambda spec: replace(spec, read_only_root=False),
    "a network of its own": lambda spec: replace(spec, network="host"),
    "pids limit": lambda spec: replace(spec, limits=replace(spec.limits, pids=1024)),
    "memory limit": lambda spec: replace(spec, limits=replace(spec.limits, memory=1 << 30)),
    "masked paths": lambda spec: replace(spec, masked_paths=()),
    "sealed PID 1": lambda spec: weakened(spec, UNSEALED),
    "a user id of its own": lambda spec: _of_user(spec, _SAME_USER),
}


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A file of `attacks/` and how it is run. ``without`` names the control that is taken away."""

    file: str
    args: Sequence[str] = ()
    limits: Limits = PATIENT
    stdin: Stdin = b""
    without: str = ""
    artifacts: Sequence[str] = ()

    @property
    def name(self) -> str:
        return f"{self.file} without {self.without}" if self.without else self.file

    def request(self) -> RunRequest:
        python = self.file.endswith(".py")
        helper = InputFile("attempts.py", (ATTACKS / "attempts.py").read_bytes())
        return RunRequest(
            language="python" if python else "bash",
            code=(ATTACKS / self.file).read_text(),
            args=self.args,
            stdin=self.stdin,
            limits=self.limits,
            files=[helper] if python else [],
            artifacts=self.artifacts,
        )


@dataclass
class WatchedEngine:
    """An engine that weakens what it is told to, and remembers what each container left on the host."""

    engine: object
    client: object
    left: dict[str, list[str]] = field(default_factory=dict)

    def __getattr__(self, name: str):
        return getattr(self.engine, name)

    @asynccontextmanager
    async def create(self, spec: ContainerSpec) -> AsyncIterator[object]:
        name = spec.labels[LABEL_PRINCIPAL]
        _, _, control = name.partition(" without ")
        async with AsyncExitStack() as stack:
            made = self.engine.create(WITHOUT[control](spec) if control else spec)
            looking = await stack.enter_async_context(self._looking_back(name))
            container = await stack.enter_async_context(made)
            looking.extend(await to_thread.run_sync(self._traces_of, container.id))
            yield container

    @asynccontextmanager
    async def _looking_back(self, name: str) -> AsyncIterator[list[str]]:
        """Looks for what is left when the context ends, also of one that the runner's end cancels.

        Its value takes the container's id and the other traces.
        """
        traces: list[str] = []
        try:
            yield traces
        finally:
            with anyio.CancelScope(shield=True):
                left = await to_thread.run_sync(self._left, traces[0], traces) if traces else []
            self.left.setdefault(name, []).extend(left)

    def _traces_of(self, container: str) -> list[str]:
        """What a mount of this container has in its line of mountinfo."""
        layer = self.client.inspect_container(container)["GraphDriver"]["Data"] or {}
        return [container, *(path for name, path in layer.items() if name == "MergedDir")]

    def _left(self, container: str, traces: Iterable[str]) -> list[str]:
        left = []
        with suppress(NotFound):
            left.append("container " + self.client.inspect_container(container)["State"]["Status"])
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        left += [f"mount {line}" for line in mounts if any(trace in line for trace in traces)]
        folders = (f"{path}/{name}" for path, names, _ in os.walk("/sys/fs/cgroup") for name in names)
        return left + [f"cgroup {folder}" for folder in folders if container in folder]


@asynccontextmanager
async def watched_runner(**settings) -> AsyncIterator[tuple[Runner, WatchedEngine]]:
    """A Runner whose engine is watched."""
    client = connect(None)
    try:
        async with Runner.open(Config(queue_size=1000, **settings)) as runner:
            # Runner.open chooses the engine; there is no setting to weaken it, and there shall be none.
            runner._engine = WatchedEngine(runner._engine, client)
            yield runner, runner._engine
    finally:
        client.close()


@dataclass(frozen=True)
class Batch:
    """What came of a batch: results and leftovers by name, and what it cost this process."""

    results: dict[str, RunResult | SandboxError]
    left: dict[str, list[str]]
    descriptors_grown: int
    memory_grown: int


def run_all(attacks: Iterable[Attack]) -> Batch:
    """Runs every attack, as many at once as the engine has room for."""
    process, results = psutil.Process(), {}

    async def run_one(runner: Runner, attack: Attack) -> None:
        try:
            results[attack.name] = await runner.run(attack.request(), Principal(attack.name))
        except SandboxError as error:  # the others go on; whoever asks for this result gets it
            results[attack.name] = error

    async def run_each() -> dict[str, list[str]]:
        async with watched_runner() as (runner, engine):
            async with anyio.create_task_group() as tasks:
                for attack in attacks:
                    tasks.start_soon(run_one, runner, attack)
            return engine.left

    anyio.run(run_nothing)  # what is loaded once is not the attacks' doing
    descriptors, memory = open_descriptors(), process.memory_info().rss
    left = anyio.run(run_each)
    return Batch(
        results,
        left,
        open_descriptors() - descriptors,
        process.memory_info().rss - memory,
    )


def open_descriptors() -> int:
    """How many this process has."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def told(result: RunResult) -> dict[str, Any]:
    """What an attack printed last: how each attempt ended."""
    return json.loads(result.stdout.splitlines()[-1])


async def run_nothing() -> None:
    async with watched_runner() as (runner, _):
        await runner.run(RunRequest(command=["true"]))
