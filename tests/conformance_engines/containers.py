"""Containers of an engine under test, and what a program in one printed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engines import Bench

from sandbox_runner import RunRequest
from sandbox_runner.engines import Container
from sandbox_runner.events import Event, Exited, Output
from sandbox_runner.languages import find_language
from sandbox_runner.policy import admit
from sandbox_runner.request import LOCAL_USER
from sandbox_runner.spec import Admission


@asynccontextmanager
async def admitted(bench: Bench, request: RunRequest) -> AsyncIterator[Admission]:
    language = find_language(request.language) if request.language else None
    image = await bench.engine.image(language.image if language else "shell")
    with bench.placements.lease() as placement:
        yield admit(
            bench.config.policy(), request, LOCAL_USER, language=language, image=image, placement=placement
        )


@asynccontextmanager
async def started(bench: Bench, request: RunRequest) -> AsyncIterator[tuple[Container, Admission]]:
    async with admitted(bench, request) as admission, bench.engine.create(admission.spec) as container:
        yield container, admission


def program(argv: tuple[str, ...], **request) -> RunRequest:
    return RunRequest(command=argv, **request)


async def ran(bench: Bench, request: RunRequest) -> tuple[Exited, list[Event]]:
    events: list[Event] = []

    async def emit(event: Event) -> None:
        events.append(event)

    async with started(bench, request) as (container, admission):
        return await container.execute(admission.job, emit), events


async def ignore(_event: Event) -> None:
    pass


def printed(events: list[Event], stream: str) -> bytes:
    """The stream's bytes; their offsets must say the same."""
    pieces = [event for event in events if isinstance(event, Output) and event.stream == stream]
    data = b""
    for piece in pieces:
        assert piece.offset == len(data)
        data += piece.data
    return data
