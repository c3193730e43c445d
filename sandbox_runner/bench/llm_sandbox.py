"""The peer llm-sandbox, where it is installed: python -m pip install --group bench

It is no dependency: what cannot be imported is not measured.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from anyio import to_thread

from sandbox_runner.bench.peers import PRINTED, PROGRAM, PYTHON_IMAGE
from sandbox_runner.bench.plan import Turn
from sandbox_runner.errors import EngineError

# It runs programs by these names; in a pool it does not know that no environment was set up.
_VENV = "/sandbox/.sandbox-venv/bin"
_WAIT = (
    f"ln -s python3 /usr/bin/python; mkdir -p {_VENV}; ln -s /usr/bin/python3 {_VENV}/python; exec sleep 3600"
)
PLAIN, OPEN, POOLED = "llm-sandbox", "llm-sandbox, open session", "llm-sandbox, pooled"


def llm_sandbox_version() -> str | None:
    """None where it is not installed."""
    try:
        return version("llm-sandbox")
    except PackageNotFoundError:
        return None


async def trouble() -> str | None:
    """Why it cannot be measured; None where it can. Where it is installed this takes some runs."""
    if llm_sandbox_version() is None:
        return "not installed"
    try:
        await plain_turn()()
        async with warm_turns() as turns:
            for turn in turns.values():
                await turn()
    except Exception as error:  # noqa: BLE001 - whatever it raises here, it is no peer on this machine
        return " ".join(str(error).split())[:200] or type(error).__name__
    return None


def plain_turn() -> Turn:
    """A session opened for one run and closed again: the container is used once, as ours is."""
    return _turn(lambda: _session(), keep=False)


@asynccontextmanager
async def warm_turns() -> AsyncIterator[dict[str, Turn]]:
    """Runs in one open session, and runs that each take a container from a pool and give it back.

    Both use a container again for the next run, so they isolate runs less than a container of their own does.
    """
    pools = import_module("llm_sandbox.pool")
    config = pools.PoolConfig(min_pool_size=1, max_pool_size=2)
    manager = await to_thread.run_sync(lambda: pools.create_pool_manager(config=config, **_options()))
    try:
        session = _session()
        opened = await to_thread.run_sync(session.__enter__)
        try:
            yield {
                OPEN: _turn(lambda: opened, keep=True),
                POOLED: _turn(lambda: pools.PooledSandboxSession(pool_manager=manager), keep=False),
            }
        finally:
            await to_thread.run_sync(session.__exit__, None, None, None)
    finally:
        await to_thread.run_sync(manager.close)


def _session() -> AbstractContextManager[Any]:
    made: AbstractContextManager[Any] = import_module("llm_sandbox").SandboxSession(**_options())
    return made


def _options() -> dict[str, Any]:
    backend = import_module("llm_sandbox").SandboxBackend.DOCKER
    return {
        "backend": backend,
        "lang": "python",
        "image": PYTHON_IMAGE,
        "keep_template": True,
        "skip_environment_setup": True,  # it would install packages, and needs a network for that
        "runtime_configs": {"command": ["sh", "-c", _WAIT], "network_mode": "none"},
    }


def _turn(session: Callable[[], Any], *, keep: bool) -> Turn:
    def once() -> float:
        began = time.perf_counter()
        if keep:
            result = session().run(PROGRAM)
        else:
            with session() as opened:
                result = opened.run(PROGRAM)
        took = time.perf_counter() - began
        if result.stdout.encode() != PRINTED:
            raise EngineError(f"llm-sandbox printed {result.stdout[:100]!r} {result.stderr[:200]!r}.")
        return took * 1000

    async def turn() -> float:
        return await to_thread.run_sync(once)

    return turn
