"""A container on the daemon, from create to removal."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
from docker import errors as docker_errors

from sandbox_runner.engines import Emit
from sandbox_runner.engines.docker.agent_lane import AgentLane, ChannelEnded
from sandbox_runner.engines.docker.calls import Caller, is_transient, repeatable
from sandbox_runner.engines.docker.channel import Channel, open_channel
from sandbox_runner.engines.docker.general_lane import Daemon, GeneralLane
from sandbox_runner.engines.docker.mapping import create_body
from sandbox_runner.errors import ContainerLost, ControlNotEnforced, EngineError, StartFailed
from sandbox_runner.events import Exited, Usage
from sandbox_runner.hardening import LABEL_RUN
from sandbox_runner.spec import ContainerSpec, Job

if TYPE_CHECKING:
    from docker import APIClient

REMOVAL_TIME = 30  # seconds in which a container must be gone; what is left then is the watchdog's
CANCEL_TIME = 0.5  # seconds for the agent to end the program before the container is killed
_REMOVAL_PAUSE = 0.01
_ATTACH = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
_NO_SWAP_WARNINGS = ("swap limit capabilities", "swap accounting")


class DockerContainer:
    """One sandbox on a daemon."""

    def __init__(
        self, client: "APIClient", call: Caller, spec: ContainerSpec, channel: Channel, container_id: str
    ) -> None:
        self.id = container_id
        self._client = client
        self._call = call
        self._cancelled = False
        self._lane: AgentLane | GeneralLane
        run_id = spec.labels[LABEL_RUN]
        if spec.image.agent:
            self._lane = AgentLane(channel, run_id)
        else:
            self._lane = GeneralLane(channel, self._daemon(), run_id)

    async def start(self) -> None:
        """Starts PID 1 and waits for the agent; in the general lane PID 1 is the program, so not yet."""
        if isinstance(self._lane, AgentLane):
            await self._call(lambda: self._client.start(self.id))
            await self._lane.greet()

    async def execute(self, job: Job, emit: Emit) -> Exited:
        began = anyio.current_time()
        try:
            return await self._lane.execute(job, emit)
        except ChannelEnded:
            if self._cancelled:
                return self._lost("cancelled", began, {})
            with suppress(ContainerLost):  # it is removed: what was printed is all that is left
                if await self._oom_killed():
                    return self._lost("out_of_memory", began, {"memory": 1})
            return self._lost("signaled", began, {})

    async def cancel(self) -> None:
        self._cancelled = True
        await self._lane.cancel()
        await anyio.sleep(CANCEL_TIME)
        with suppress(ContainerLost, StartFailed):  # it ended by itself in the meantime
            await self._call(lambda: self._client.kill(self.id))

    def _lost(self, status: Any, began: float, limits_hit: dict[str, int]) -> Exited:  # noqa: ANN401 - a Status
        return Exited(
            status=status,
            signal=9 if status == "signaled" else None,
            reason="sandbox_broken",
            usage=Usage(wall_time=anyio.current_time() - began),
            limits_hit=limits_hit,
        )

    async def _oom_killed(self) -> bool:
        state = await self._call(repeatable(lambda: self._client.inspect_container(self.id)))
        return bool(state["State"].get("OOMKilled"))

    def _daemon(self) -> Daemon:
        client, container_id, call = self._client, self.id, self._call
        wait = _Wait(client, container_id)

        async def start() -> None:
            await call(wait.post)
            await call(lambda: client.start(container_id))

        async def oom_killed() -> bool:
            with suppress(ContainerLost):
                return await self._oom_killed()
            return False

        async def kill() -> None:
            with suppress(ContainerLost, StartFailed):  # it ended by itself in the meantime
                await call(lambda: client.kill(container_id))

        async def stats() -> dict[str, Any]:
            with suppress(EngineError):  # a sample is missed; the deadline does not depend on it
                return dict(await call(lambda: client.stats(container_id, stream=False, one_shot=True)))
            return {}

        return Daemon(
            start=start,
            # A cancelled run must get on to the removal, which is what ends this wait.
            wait=lambda: call(wait.exit_code, abandon=True),
            stats=stats,
            oom_killed=oom_killed,
            kill=kill,
        )


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
async def created(
    client: "APIClient", call: Caller, spec: ContainerSpec, *, local_swap: bool
) -> AsyncIterator[DockerContainer]:
    """A started container that is gone when the context ends, however it ends."""
    channel: Channel | None = None
    try:
        container_id, warnings = await call(lambda: _create(client, spec))
        _refuse_weakened(warnings, local_swap=local_swap)
        attached = await call(lambda: client.attach_socket(container_id, params=_ATTACH))
        channel = open_channel(attached, call.limiter)
        container = DockerContainer(client, call, spec, channel, container_id)
        await container.start()
        yield container
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(REMOVAL_TIME):
            if channel is not None:
                channel.close()
            await _remove(client, call, spec.name)


def _create(client: "APIClient", spec: ContainerSpec) -> tuple[str, list[str]]:
    body = create_body(spec)

    @repeatable
    def create() -> tuple[str, list[str]]:
        try:
            answer = client.create_container_from_config(body, name=spec.name)
        except docker_errors.APIError as error:
            # The name is random: it is taken because an earlier attempt succeeded and its answer was lost.
            if error.status_code == 409:
                return str(client.inspect_container(spec.name)["Id"]), []
            raise
        return str(answer["Id"]), list(answer.get("Warnings") or ())

    return create()


def _refuse_weakened(warnings: list[str], *, local_swap: bool) -> None:
    """Raises ControlNotEnforced where the daemon said that it drops a limit."""
    for warning in warnings:
        if any(text in warning for text in _NO_SWAP_WARNINGS) and not local_swap:
            continue  # it cannot limit swap, and there is none
        if "discarded" in warning or "not support" in warning:
            raise ControlNotEnforced(f"The engine does not enforce a limit, so nothing was run: {warning}")


async def _remove(client: "APIClient", call: Caller, name: str) -> None:
    @repeatable
    def remove() -> bool:
        try:
            client.remove_container(name, force=True, v=True)
        except docker_errors.NotFound:
            return True
        except docker_errors.APIError as error:
            # 409: its removal is in progress; 500: two removals met, which the next attempt sorts out.
            if error.status_code in (409, 500) or is_transient(error):
                return False
            raise
        return True

    while not await call(remove):  # noqa: ASYNC110 - the daemon tells nobody that it has removed it
        await anyio.sleep(_REMOVAL_PAUSE)
