"""A container's beginning: its image, create, attach and start, in calls that block.

It needs no event loop, so that a program of one run can begin it before it loads one.
"""

from collections.abc import Callable
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from docker import errors as docker_errors

from sandbox_runner.definitions import LABEL_AGENT, image_tag, is_current
from sandbox_runner.engines.docker.connection import is_local
from sandbox_runner.engines.docker.faults import AnswerLost, repeatable
from sandbox_runner.engines.docker.mapping import create_body
from sandbox_runner.engines.docker.memory_watch import MemoryWatch, watch_memory
from sandbox_runner.engines.docker.removal import HURRY, ensure_removed
from sandbox_runner.engines.docker.runtimes import Runtimes
from sandbox_runner.engines.docker.sentry import adapt, memory_folder, require_held
from sandbox_runner.engines.gvisor import for_sentry
from sandbox_runner.errors import ControlNotEnforced, ImageNotFound
from sandbox_runner.languages import describe_image, setup_command
from sandbox_runner.spec import ContainerSpec, Image

if TYPE_CHECKING:
    from docker import APIClient

_ATTACH = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
_NO_SWAP_WARNINGS = ("swap limit capabilities", "swap accounting")


class Beginning:
    """One container from create to start, and its removal. Each call blocks and raises what the SDK raises.

    A removal waits for what is under way in another thread, and nothing begins after it: an event
    loop may leave a call behind in its thread when it cancels whoever waits for it.
    """

    def __init__(
        self,
        client: "APIClient",
        address: str,
        spec: ContainerSpec,
        *,
        pause: float = HURRY,
        runtimes: Runtimes | None = None,
    ) -> None:
        self._pause = pause
        self._runtimes = runtimes or Runtimes(client)
        self.spec = spec
        self.container_id = ""
        self.attached: Any = None  # the SDK has four types for it
        self._client = client
        self._address = address
        self._lock = Lock()
        self.has_sentry = False
        self.memory: MemoryWatch | None = None  # with a sentry on this machine only
        self._removing = False
        self._started = False
        self._gone = False
        self._ahead: Thread | None = None
        self._failure: Exception | None = None

    def attach(self) -> None:
        """Creates the container and attaches to it. Raises ControlNotEnforced where it would be weakened."""
        with self._lock:
            if self._removing:
                return
            self.has_sentry = self._asks_for_sentry()
            self.container_id, warnings = _create(self._client, self.spec, has_sentry=self.has_sentry)
            _refuse_weakened(warnings, swap_free=lambda: _swap_free(self._address))
            self.attached = self._client.attach_socket(self.container_id, params=_ATTACH)

    def start_ahead(self) -> None:
        """Starts PID 1 while this process does something else; `start` tells how it went."""
        self._ahead = Thread(target=self._try_start, name="start", daemon=True)
        self._ahead.start()

    def start(self) -> None:
        """Returns when the daemon has started PID 1."""
        if self._ahead is None:
            self._start()
            return
        self._ahead.join()
        if self._failure is not None:
            raise self._failure

    def _asks_for_sentry(self) -> bool:
        """Whether the container is made for gVisor's kernel, which it is only where its runtime is named."""
        if self.spec.oci_runtime is not None:
            return self._runtimes.find(self.spec.oci_runtime).has_sentry
        self._runtimes.ask_ahead()  # `start` needs the answer
        return False

    def _start(self) -> None:
        with self._lock:
            if self._removing:
                return
            runtime = self._runtimes.find(self.spec.oci_runtime)
            self._client.start(self.container_id)
            self._started = True
            if runtime.has_sentry and is_local(self._address):
                pid = require_held(self._client, self.container_id, self.spec)
                self.memory = None if pid is None else watch_memory(memory_folder(pid))

    def _try_start(self) -> None:
        try:
            self._start()
        except Exception as error:  # noqa: BLE001 - raised by `start`, whatever it is
            self._failure = error

    def remove(self, *, patience: float = 0) -> None:
        """Returns when the container is gone. One that runs has ``patience`` seconds to end by itself."""
        with self._lock:
            self._removing = True
            if self.memory is not None:
                self.memory.close()
            self._gone = self._gone or ensure_removed(
                self._client, self.spec.name, patience=patience, pause=self._pause, started=self._started
            )


def find_image(client: "APIClient", name: str) -> Image:
    """The image that ``name`` means now. Raises ImageNotFound, and what the SDK raises."""
    tag = image_tag(name)
    try:
        found = repeatable(client.inspect_image)(tag or name)
    except docker_errors.ImageNotFound:
        raise ImageNotFound(_missing(name, ours=tag is not None)) from None
    config = found.get("Config") or {}
    labels = config.get("Labels") or {}
    if LABEL_AGENT in labels and not is_current(labels):
        raise ImageNotFound("The images are older than this version: sandbox-runner setup")
    if LABEL_AGENT in labels:
        return Image(id=found["Id"], name=name, agent=True)
    return Image(
        id=found["Id"],
        name=name,
        agent=False,
        argv=(*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())),
        env=tuple(config.get("Env") or ()),
        cwd=config.get("WorkingDir") or "",
    )


def _missing(name: str, *, ours: bool) -> str:
    if ours:
        return f"The {describe_image(name)} is not built yet; run: {setup_command(name)}"
    return f"Image {name!r} is not on the engine; load it there first, for instance: docker pull {name}"


def _create(client: "APIClient", spec: ContainerSpec, *, has_sentry: bool) -> tuple[str, list[str]]:
    body = adapt(create_body(for_sentry(spec))) if has_sentry else create_body(spec)

    @repeatable
    def create() -> tuple[str, list[str]]:
        try:
            answer = client.create_container_from_config(body, name=spec.name)
        except docker_errors.APIError as error:
            if error.status_code != 409:
                raise
            # The name is random: it is taken because an earlier attempt succeeded and its answer was lost,
            # and with it the warnings. They must be those of the container that is used.
            ensure_removed(client, spec.name, patience=0)
            raise AnswerLost from error
        return str(answer["Id"]), list(answer.get("Warnings") or ())

    return create()


def _refuse_weakened(warnings: list[str], *, swap_free: Callable[[], bool]) -> None:
    """Raises ControlNotEnforced where the daemon said that it drops a limit."""
    for warning in warnings:
        if any(text in warning for text in _NO_SWAP_WARNINGS) and swap_free():
            continue  # it cannot limit swap, and there is none
        if "discarded" in warning or "not support" in warning:
            raise ControlNotEnforced(f"The engine does not enforce a limit, so nothing was run: {warning}")


def _swap_free(address: str) -> bool:
    """Whether the engine's machine is known to have no swap."""
    import psutil  # noqa: PLC0415 - few engines cannot limit swap

    return is_local(address) and psutil.swap_memory().total == 0
