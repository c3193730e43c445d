"""A run that begins before there is an event loop.

Loading one takes a short-lived program as long as the engine takes to start a container, so it
does both at once. What decides and what enforces is the same as in `Runner.stream`.
"""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_runner.languages import Language, find_language
from sandbox_runner.placement import Placements
from sandbox_runner.policy import Policy, admit, image_name
from sandbox_runner.request import LOCAL_USER, Principal, RunRequest
from sandbox_runner.spec import Admission, Image
from sandbox_runner.watchdog import Watchdog, guarded

if TYPE_CHECKING:
    from docker import APIClient

    from sandbox_runner.config import Config
    from sandbox_runner.engines.docker.begin import Beginning

_HOLD_GRACE = 10  # seconds after which the watchdog ends an agentless container that the owner should have


@dataclass(frozen=True, slots=True)
class HeadStart:
    """A container that is there for one run, attached to and starting. For `runner.take_over`."""

    client: "APIClient"
    address: str
    admission: Admission
    beginning: "Beginning"


@contextmanager
def head_start(
    config: "Config", request: RunRequest, principal: Principal = LOCAL_USER
) -> Iterator[HeadStart]:
    """Begins ``request`` as the only run of this process. When the context ends its container is gone.

    Raises RequestRejected, Busy or EngineError.
    """
    language = find_language(request.language) if request.language else None
    instance = secrets.token_hex(8)
    with ExitStack() as stack:
        watchdog = stack.enter_context(guarded(instance, docker_host=config.docker_host))
        # The SDK loads while the watchdog's process starts.
        from sandbox_runner.engines.docker.begin import Beginning, find_image  # noqa: PLC0415
        from sandbox_runner.engines.docker.connection import connect, find_address  # noqa: PLC0415
        from sandbox_runner.engines.docker.faults import engine_errors  # noqa: PLC0415

        client = connect(config.docker_host)
        stack.callback(client.close)
        address = find_address(config.docker_host)
        with engine_errors(address):
            image = find_image(client, image_name(request, language))
        admitting = admitted(
            config.policy(), request, principal,
            language=language, image=image, run_id=None, placements=Placements(instance), watchdog=watchdog,
        )  # fmt: skip
        admission = stack.enter_context(admitting)
        beginning = Beginning(client, address, admission.spec)
        stack.enter_context(_removed(beginning, address))
        with engine_errors(address):
            beginning.attach()
        if image.agent:
            beginning.start_ahead()
        yield HeadStart(client, address, admission, beginning)


@contextmanager
def admitted(
    policy: Policy,
    request: RunRequest,
    principal: Principal,
    *,
    language: Language | None,
    image: Image,
    run_id: str | None,
    placements: Placements,
    watchdog: Watchdog,
) -> Iterator[Admission]:
    """What `policy.admit` makes of ``request`` in a place of its own; an agentless one's deadline is held.

    Raises what `policy.admit` raises, and Busy.
    """
    with placements.lease(run_id) as placement:
        admission = admit(policy, request, principal, language=language, image=image, placement=placement)
        spec = admission.spec
        if not image.agent:
            watchdog.hold_deadline(spec.name, spec.limits.wall_time + _HOLD_GRACE)
        try:
            yield admission
        finally:
            if not image.agent:
                watchdog.release(spec.name)


@contextmanager
def _removed(beginning: "Beginning", address: str) -> Iterator[None]:
    from sandbox_runner.engines.docker.faults import engine_errors  # noqa: PLC0415 - the SDK

    try:
        yield
    finally:
        with engine_errors(address):
            beginning.remove()
