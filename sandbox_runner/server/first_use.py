"""Images that are missing are built when a run first needs them, by `sandbox-runner setup` itself."""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import ByteReceiveStream, Process, TaskGroup
from anyio.streams.text import TextReceiveStream

from sandbox_runner.config import Config
from sandbox_runner.errors import ImageNotFound

PATIENCE = 40.0  # seconds that a call waits for the images: clients give up after 60
_PAUSE = 0.5  # seconds between two looks at what the build says
_LAST = 5  # lines of the build's output that tell why it failed
_LEAVING = 5.0  # seconds for the build to stop when the server ends


class Images:
    """One build at a time, shared by all who wait for it."""

    def __init__(self, config: Config, tasks: TaskGroup, *, allowed: bool) -> None:
        self.allowed = allowed
        self._config = config
        self._tasks = tasks
        self._finished: anyio.Event | None = None
        self._lines: deque[str] = deque(maxlen=_LAST)
        self._status: int | None = None

    async def build(self, say: Callable[[str], Awaitable[None]]) -> None:
        """Waits for the images, telling ``say`` how far they are.

        Raises ImageNotFound where they are not ready in `PATIENCE` seconds, or cannot be built.
        """
        if self._finished is None:
            self._finished = anyio.Event()
            self._tasks.start_soon(self._build, self._finished)
        finished = self._finished
        with anyio.move_on_after(PATIENCE):
            while not finished.is_set():
                await say(f"building the images, once: {self._latest}")
                with anyio.move_on_after(_PAUSE):
                    await finished.wait()
        if not finished.is_set():
            raise ImageNotFound(
                f"The images are being built, which is done once and takes minutes ({self._latest}). "
                "Call this again in a minute."
            )
        if self._status != 0:
            raise ImageNotFound(
                f"The images are not built, and building them failed: {' '.join(self._lines)} "
                "In a terminal, run: sandbox-runner setup"
            )

    @property
    def _latest(self) -> str:
        return self._lines[-1] if self._lines else "starting"

    async def _build(self, finished: anyio.Event) -> None:
        command = [sys.executable, "-m", "sandbox_runner", "setup"]
        if self._config.engine == "oci":
            command += ["--engine", "oci"]
        if self._config.docker_host:
            command += ["--set", f"docker_host={self._config.docker_host}"]
        self._lines.clear()
        try:
            async with await anyio.open_process(
                command,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
                env={**os.environ, "NO_COLOR": "1"},
            ) as process:
                try:
                    assert process.stdout is not None
                    await self._read(process.stdout)
                    self._status = await process.wait()
                finally:
                    await _stop(process)
        except OSError as error:
            self._lines.append(f"{error}.")
            self._status = 1
        finally:
            self._finished = None  # the next one who misses an image tries again
            finished.set()

    async def _read(self, output: ByteReceiveStream) -> None:
        rest = ""
        async for text in TextReceiveStream(output, errors="replace"):
            *lines, rest = (rest + text)[-4096:].split("\n")
            self._lines.extend(line.strip()[:200] for line in lines if line.strip())


async def _stop(process: Process) -> None:
    if process.returncode is None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(_LEAVING):
            process.terminate()
            await process.wait()
