"""A container on the daemon, from create to removal."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio

from sandbox_runner.engines import Emit
from sandbox_runner.engines.agent_lane import AgentLane, ChannelEnded
from sandbox_runner.engines.docker.begin import Beginning
from sandbox_runner.engines.docker.calls import Caller
from sandbox_runner.engines.docker.channel import Channel, open_channel
from sandbox_runner.engines.docker.demux import DemuxedChannel, DemuxedStreams
from sandbox_runner.engines.docker.oom import ran_out_of_memory
from sandbox_runner.engines.docker.resizing import set_memory
from sandbox_runner.engines.general_lane import Counts, GeneralLane, Handles
from sandbox_runner.errors import ContainerLost, ControlNotEnforced, EngineError, StartFailed
from sandbox_runner.events import Exited, Status, Usage
from sandbox_runner.hardening import LABEL_RUN
from sandbox_runner.spec import Job, ResolvedLimits

if TYPE_CHECKING:
    from docker import APIClient

EXIT_TIME = 0.5  # seconds for the agent to see that its channel is closed
SAMPLE_INTERVAL = 0.5  # seconds between two readings of the engine's counts


class DockerContainer:
    """One sandbox on a daemon."""

    def __init__(self, client: "APIClient", call: Caller, beginning: Beginning, channel: Channel) -> None:
        self.id = beginning.container_id
        self._beginning = beginning
        self._client = client
        self._call = call
        self._channel = channel
        self._cancelled = False
        self._end: asyncio.Task[None] | None = None
        self._preload = beginning.spec.preload
        self._limits = beginning.spec.limits
        self._lane: AgentLane | GeneralLane
        run_id = beginning.spec.labels[LABEL_RUN]
        if beginning.spec.image.agent:
            self._lane = AgentLane(DemuxedChannel(channel), run_id)
        else:
            self._lane = GeneralLane(DemuxedStreams(channel), self._handles(), run_id)

    async def start(self) -> None:
        """Starts PID 1 and waits for the agent; in the general lane PID 1 is the program, so not yet."""
        if isinstance(self._lane, AgentLane):
            await self._call(self._beginning.start)
            await self._lane.greet()

    async def prepare(self) -> None:
        if isinstance(self._lane, AgentLane) and self._preload:
            await self._lane.preload(self._preload)

    async def execute(self, job: Job, emit: Emit) -> Exited:
        began = anyio.current_time()
        try:
            return await self._lane.execute(job, emit)
        except ChannelEnded:
            if self._cancelled:
                return self._lost("cancelled", began, {})
            status = await self.why_lost()
            return self._lost(status, began, {"memory": 1} if status == "out_of_memory" else {})
        finally:
            self._cancelled = False  # a session goes on

    async def lost(self) -> None:
        if self._channel.watchable:
            await self._channel.receive()  # the agent says nothing unasked, so this is the end
            return
        if self._end is None:  # one thread, however often it is asked for
            self._end = asyncio.create_task(self._wait())
        await asyncio.shield(self._end)

    async def why_lost(self) -> Status:
        return "out_of_memory" if await self._oom_killed() else "signaled"

    async def cpu_time(self) -> float | None:
        return _counts(await self._call(self._stats)).cpu_time

    async def resize(self, limits: ResolvedLimits) -> None:
        held = self._limits
        if (limits.cpus, limits.pids) != (held.cpus, held.pids):
            raise ControlNotEnforced("Only the memory of a container can be changed here; make another one.")
        if limits.memory != held.memory:
            if self._beginning.has_sentry:
                raise ControlNotEnforced(
                    "A daemon cannot change the memory of a container of runsc, so nothing was run; "
                    "give compile_memory the value of memory."
                )
            await self._call(lambda: set_memory(self._client, self.id, limits.memory))
        self._limits = limits

    async def cancel(self) -> None:
        self._cancelled = True
        await self._lane.cancel()
        await anyio.sleep(self._lane.patience)
        with suppress(ContainerLost, StartFailed):  # it ended by itself in the meantime
            await self._call(lambda: self._client.kill(self.id))

    async def stop_waiting(self) -> None:
        """Ends what `lost` began; the thread of its call ends with the container."""
        if self._end is not None:
            self._end.cancel()
            await asyncio.wait((self._end,))

    def _lost(self, status: Status, began: float, limits_hit: dict[str, int]) -> Exited:
        return Exited(
            status=status,
            signal=9 if status == "signaled" else None,
            reason="sandbox_broken",
            usage=Usage(wall_time=anyio.current_time() - began),
            limits_hit=limits_hit,
        )

    async def _wait(self) -> None:
        with suppress(EngineError):
            await self._call(lambda: self._client.wait(self.id), abandon=True)

    def _stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = self._client.stats(self.id, stream=False, one_shot=True)
        return stats

    async def _oom_killed(self, *, await_news: bool = True) -> bool:
        watch = self._beginning.memory

        def told() -> bool:
            if watch is not None and watch.ran_out(wait=False):
                return True
            if ran_out_of_memory(self._client, self.id, await_news=await_news):
                return True
            # By now the daemon has had its time, and so has the kernel: this seldom waits.
            return await_news and watch is not None and watch.ran_out(wait=True)

        return await self._call(told)

    def _handles(self) -> Handles:
        client, container_id, call = self._client, self.id, self._call
        wait = _Wait(client, container_id)

        async def start() -> None:
            await call(wait.post)
            await call(self._beginning.start)

        async def oom_kills(await_news: bool) -> int:
            return int(await self._oom_killed(await_news=await_news))

        async def kill() -> None:
            with suppress(ContainerLost, StartFailed):  # it ended by itself in the meantime
                await call(lambda: client.kill(container_id))

        async def counts() -> Counts:
            with suppress(EngineError):  # a sample is missed; the deadline does not depend on it
                return _counts(await call(self._stats))
            return Counts()

        return Handles(
            start=start,
            # A cancelled run must get on to the removal, which is what ends this wait.
            wait=lambda: call(wait.exit_code, abandon=True),
            counts=counts,
            oom_kills=oom_kills,
            kill=kill,
            interval=SAMPLE_INTERVAL,
        )


def _counts(stats: dict[str, Any]) -> Counts:
    cpu_time = stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage")
    memory = stats.get("memory_stats", {})
    peak = max(memory.get("max_usage") or 0, memory.get("usage") or 0)
    return Counts(cpu_time=cpu_time / 1e9 if cpu_time else None, peak_memory=peak or None)


class _Wait:
    """A wait for the container's next exit that is known to the daemon before the container starts.

    The SDK's own `wait` returns only when it is over, too late to order it before the start;
    the daemon answers the headers at once.
    """

    def __init__(self, client: "APIClient", container_id: str) -> None:
        self._client: Any = client  # two methods below are the SDK's own, without a public name
        self._id = container_id
        self._response: Any = None

    def post(self) -> None:
        url = self._client._url("/containers/{0}/wait", self._id)
        self._response = self._client._post(
            url, params={"condition": "next-exit"}, stream=True, timeout=(60, None)
        )

    def exit_code(self) -> int:
        with self._response as response:
            return int(json.loads(response.content)["StatusCode"])


@asynccontextmanager
async def started(client: "APIClient", call: Caller, beginning: Beginning) -> AsyncIterator[DockerContainer]:
    """A started container that is gone when the context ends, however it ends."""
    channel: Channel | None = None
    container: DockerContainer | None = None
    try:
        if beginning.attached is None:
            await call(beginning.attach)
        channel = open_channel(beginning.attached, call.limiter)
        container = DockerContainer(client, call, beginning, channel)
        await container.start()
        yield container
    finally:
        with anyio.CancelScope(shield=True):
            if container is not None:
                await container.stop_waiting()
            if channel is not None:
                channel.close()
            patience = EXIT_TIME if beginning.spec.image.agent else 0
            await call(lambda: beginning.remove(patience=patience))
