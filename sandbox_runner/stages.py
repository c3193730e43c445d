"""The stages of a run in one container: the compiler, where there is one, then the program.

Each is a job of its own to the agent, which kills what a job left before it ends. What the compiler
wrote to the workspace is what the program finds there.
"""

from dataclasses import replace

from sandbox_runner.engines import Container, Emit
from sandbox_runner.events import Event, Exited, Output, Started, Status
from sandbox_runner.spec import Admission


async def executed(container: Container, admission: Admission, emit: Emit) -> Exited:
    """How the run ended; its events go to ``emit``. Raises what `Container.execute` raises."""
    if admission.compile is None:
        return await container.execute(admission.job, emit)
    await container.resize(admission.compile.limits)
    compiled = await container.execute(admission.compile, _of_compiler(emit))
    if compiled.status != "exited" or compiled.exit_code != 0:
        return _failed(compiled)
    await container.resize(admission.job.limits)
    return replace(await container.execute(admission.job, _of_program(emit)), compile=compiled)


def _failed(compiled: Exited) -> Exited:
    # A cancellation is the caller's, whatever ran at that moment.
    status: Status = "cancelled" if compiled.status == "cancelled" else "compile_failed"
    return Exited(
        status=status,
        reason=compiled.reason,
        usage=replace(compiled.usage, stdout_bytes=0, stderr_bytes=0),
        limits_hit=compiled.limits_hit,
        compile=compiled,
    )


def _of_compiler(emit: Emit) -> Emit:
    """``emit``, both streams as the one of the compiler."""
    offset = 0

    async def emitted(event: Event) -> None:
        nonlocal offset
        if isinstance(event, Output):
            event = Output("compiler", event.data, offset)
            offset += len(event.data)
        await emit(event)

    return emitted


def _of_program(emit: Emit) -> Emit:
    """``emit`` without the start: that was the compiler's."""

    async def emitted(event: Event) -> None:
        if not isinstance(event, Started):
            await emit(event)

    return emitted
