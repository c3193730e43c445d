"""A process that is to be killed: it has one container running and one created but never started.

It reads one line of JSON on stdin, with the instance and the settings, and writes one byte when both
are there. Only the watchdog removes a container that never ran, so both states are needed.
"""

import asyncio
import json
import os
import secrets
import sys
import time

from anyio import to_thread

from sandbox_runner.capacity import Capacity, Room
from sandbox_runner.config import Config
from sandbox_runner.engines.docker.connection import connect
from sandbox_runner.engines.docker.engine import DockerEngine, open_docker_engine
from sandbox_runner.engines.docker.mapping import create_body
from sandbox_runner.languages import find_language
from sandbox_runner.owner import current_owner
from sandbox_runner.policy import admit
from sandbox_runner.request import LOCAL_USER, Limits, RunRequest
from sandbox_runner.runner import Runner
from sandbox_runner.spec import Placement
from sandbox_runner.user_ids import leased_user_id
from sandbox_runner.watchdog import guarded

_REQUEST = RunRequest(
    language="python",
    code="import time\ntime.sleep(25)",
    limits=Limits(wall_time=25, memory=64 << 20, cpus=1, pids=16),
)


async def main() -> None:
    """Does not return while it is not killed, but for the time that its run may take."""
    told = json.loads(sys.stdin.readline())
    config, instance = Config(**told["config"]), told["instance"]
    with guarded(instance, docker_host=config.docker_host) as watchdog:
        async with open_docker_engine(config.docker_host) as engine:
            await _create(engine, config, instance)

            async def measure() -> Room:
                return Room(1, 1 << 40)

            runner = Runner(engine, config.policy(), Capacity(measure, queue_size=1), watchdog, instance)
            async with runner.stream(_REQUEST) as events:
                async for _ in events:
                    os.write(1, b"!")
                    break
                await events.result()
        # Without a farewell, so that the watchdog removes the container that was never started.
        os._exit(1)


async def _create(engine: DockerEngine, config: Config, instance: str) -> None:
    """Creates a container as a run would, and goes no further."""
    language = find_language("python")
    with leased_user_id() as uid:
        placement = Placement(
            run_id=secrets.token_hex(8),
            instance=instance,
            owner=current_owner(),
            uid=uid,
            created=int(time.time()),
        )
        image = await engine.image(language.image)
        spec = admit(
            config.policy(), _REQUEST, LOCAL_USER, language=language, image=image, placement=placement
        ).spec
    client = connect(config.docker_host)
    await to_thread.run_sync(lambda: client.create_container_from_config(create_body(spec), name=spec.name))
    client.close()


if __name__ == "__main__":
    asyncio.run(main())
