"""A process that is to be killed: it has one container running and one created but never started.

It reads one line of JSON on stdin, with the instance and the settings, and writes one byte when both
are there. Only the watchdog removes a container that never ran, so both states are needed.
"""

import asyncio
import json
import os
import sys

from anyio import to_thread

from sandbox_runner.capacity import Capacity, Room
from sandbox_runner.config import Config
from sandbox_runner.engines.choice import open_engine
from sandbox_runner.engines.docker.connection import connect
from sandbox_runner.engines.docker.engine import DockerEngine
from sandbox_runner.engines.docker.mapping import create_body
from sandbox_runner.keeping import open_keeper
from sandbox_runner.languages import find_language
from sandbox_runner.packages import PackageImages
from sandbox_runner.placement import Placements
from sandbox_runner.policy import admit
from sandbox_runner.request import LOCAL_USER, Limits, RunRequest
from sandbox_runner.runner import Runner
from sandbox_runner.sessions.snapshots import open_snapshots
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
    placements = Placements(instance)
    opening = open_engine(config.engine, docker_host=config.docker_host, oci_runtime=config.oci_runtime)
    async with opening as (kind, engine), open_keeper() as keeper:
        with guarded(instance, engine=kind, docker_host=config.docker_host) as watchdog:
            if isinstance(engine, DockerEngine):  # the other has nothing between none and running
                await _create(engine, config, placements)

            async def measure() -> Room:
                return Room(1, 1 << 40)

            capacity = Capacity(measure, queue_size=1)
            runner = Runner(
                engine, config.policy(), capacity, watchdog, keeper, placements, open_snapshots(config),
                packages=PackageImages(engine, config, capacity, placements, engine_name=kind),
            )  # fmt: skip
            async with runner.stream(_REQUEST) as events:
                async for _ in events:
                    os.write(1, b"!")
                    break
                await events.result()
        # Without a farewell, so that the watchdog removes the container that was never started.
        os._exit(1)


async def _create(engine: DockerEngine, config: Config, placements: Placements) -> None:
    """Creates a container as a run would, and goes no further."""
    language = find_language("python")
    with placements.lease() as placement:
        image = await engine.image(language.image)
        spec = admit(
            config.policy(), _REQUEST, LOCAL_USER, language=language, image=image, placement=placement
        ).spec
    client = connect(config.docker_host)
    await to_thread.run_sync(lambda: client.create_container_from_config(create_body(spec), name=spec.name))
    client.close()


if __name__ == "__main__":
    asyncio.run(main())
