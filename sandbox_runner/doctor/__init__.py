"""Proves on this host that each promised control holds, by probes inside a container."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from anyio import to_thread

from sandbox_runner.config import Config
from sandbox_runner.doctor.facts import FACTS
from sandbox_runner.doctor.finding import Finding
from sandbox_runner.doctor.limits import LIMITS
from sandbox_runner.doctor.surroundings import OF_KERNEL, Surroundings, find_surroundings, named
from sandbox_runner.doctor.trial import Probe, examine_trial
from sandbox_runner.engines.choice import OCI
from sandbox_runner.errors import ControlNotEnforced, EngineError
from sandbox_runner.runner import Runner

if TYPE_CHECKING:
    from docker import APIClient

__all__ = ["PROBES", "Finding", "Probe", "diagnose", "examine", "examine_life"]

PROBES: tuple[Probe, ...] = (*FACTS, *LIMITS)

_GIB = 1 << 30


async def diagnose(config: Config) -> AsyncIterator[Finding]:
    """One finding for each control, as each is made; one alone where no engine answers.

    It runs programs on the configured engine for some seconds. Raises nothing for an engine, an image
    or a container that does not do its part: that is a finding that does not hold.
    """
    config = _roomy(config)
    async with AsyncExitStack() as stack:
        try:
            running = await stack.enter_async_context(AsyncExitStack())
            runner = await running.enter_async_context(Runner.open(config))
            config = replace(config, engine=runner.engine_name)
            here = await find_surroundings(config)
            life = await _life(stack, config, runner.instance)
        except ControlNotEnforced as error:
            yield _no_engine(
                str(error), remedy="Change the engine's runtime, or oci_runtime, as is said above."
            )
            return
        except EngineError as error:
            setup = "setup --engine oci" if config.engine == OCI else "setup"
            yield _no_engine(str(error), remedy=f"run: sandbox-runner {setup}")
            return
        async for finding in named(examine(runner, here=here), here):
            yield finding
        await running.aclose()  # it waits for the containers of the last runs
        async for finding in named(life, here):
            yield finding


async def _life(stack: AsyncExitStack, config: Config, instance: str) -> AsyncIterator[Finding]:
    if config.engine == OCI:
        from sandbox_runner.doctor.embedded import examine_embedded  # noqa: PLC0415 - as below

        return examine_embedded(config, instance=instance)
    from sandbox_runner.engines.docker.connection import connect  # noqa: PLC0415 - it loads the SDK

    client = await to_thread.run_sync(connect, config.docker_host)
    stack.callback(client.close)
    return examine_life(client, config, instance=instance)


async def examine(
    runner: Runner, *, probes: Sequence[Probe] = PROBES, here: Surroundings = OF_KERNEL
) -> AsyncIterator[Finding]:
    """The findings of ``probes`` on the engine of ``runner``, in their order. Raises nothing."""
    for trial, alike in groupby(probes, key=lambda probe: probe.trial):
        for finding in await examine_trial(
            runner, trial, tuple(alike), sentry=here.sentry, read_back=here.local
        ):
            yield finding


async def examine_life(client: "APIClient", config: Config, *, instance: str) -> AsyncIterator[Finding]:
    """Whether containers are left behind, and what the engine tells of its machine. Raises nothing.

    ``instance`` is that of a runner that is closed.
    """
    from sandbox_runner.doctor.host import judge_host, read_facts  # noqa: PLC0415 - with the two below
    from sandbox_runner.doctor.life import find_left, find_left_by_killed_owner  # noqa: PLC0415 - the SDK
    from sandbox_runner.engines.docker.calls import Caller  # noqa: PLC0415 - as above

    yield await find_left(client, instance)
    yield await find_left_by_killed_owner(client, config)
    call = Caller(client.base_url)
    try:
        version, info = await call(client.version), await call(client.info)
    except EngineError as error:
        yield _no_engine(str(error))
        return
    for finding in judge_host(read_facts(version, info)):
        yield finding


def _no_engine(reason: str, *, remedy: str = "run: sandbox-runner setup") -> Finding:
    return Finding(
        control="engine",
        promise="A container engine answers.",
        status="failed",
        evidence=reason,
        remedy=remedy,
    )


def _roomy(config: Config) -> Config:
    """``config`` with ceilings that the trials fit under: they are few, small and the doctor's own."""
    return replace(
        config,
        max_wall_time=max(config.max_wall_time, 60.0),
        max_cpu_time=max(config.max_cpu_time, 60.0),
        max_memory=max(config.max_memory, _GIB),
        max_pids=max(config.max_pids, 128),
        max_cpus=max(config.max_cpus, 1.0),
        max_workspace=max(config.max_workspace, _GIB),
        max_tmp=max(config.max_tmp, _GIB),
        max_output=max(config.max_output, _GIB),
        max_capture=max(config.max_capture, 1 << 20),
        max_code=max(config.max_code, 1 << 20),
    )
