"""Memory of a container that waits for a run: the proportional set size of its processes."""

import subprocess
from pathlib import Path

import psutil
from anyio import to_thread

from sandbox_runner.bench.cold import run_once
from sandbox_runner.bench.figure import BARE, Bar, Figure, figure
from sandbox_runner.bench.plan import LITTLE_MEMORY, Plan, Subject
from sandbox_runner.engines.live_runs import LiveRun
from sandbox_runner.errors import EngineError
from sandbox_runner.runner import Runner

_WAITING = (8, 32)  # containers: what they share is divided among them, and a pool has 8 by default
_BARS = [Bar("p50", "<=", 5)]
_SHIM = "containerd-shim"


async def measure_idle(plan: Plan) -> list[Figure]:
    """Megabytes (10**6) of each waiting container of Python, which has imported nothing yet."""
    counts = _WAITING[:1] if plan.quick else _WAITING
    figures = [await _bare(plan, count) for count in counts]
    for subject in plan.subjects:
        if subject.local:  # another machine's processes are not seen
            for count in counts[:1] if subject.is_slow else counts:
                plan.report(f"{subject.name}, {count} waiting")
                figures.append(await _waiting(subject, count))
    return figures


async def _waiting(subject: Subject, count: int) -> Figure:
    settings = subject.settings(pool_max=count, pool_min=count, memory=LITTLE_MEMORY)
    async with Runner.open(settings, pool=True) as runner:
        await run_once(runner)
        waiting = await subject.fill(runner, count)
        first = [await to_thread.run_sync(_first_process, subject, run) for run in waiting]
    variant = f"{count} waiting"
    sizes = [inside for inside, _ in first]
    shims = [beside for _, beside in first if beside]
    notes = {"with_its_shim_mb": sum(sizes) / len(sizes) + sum(shims) / len(shims)} if shims else {}
    return figure(
        "idle",
        subject.name,
        sizes,
        unit="MB",
        variant=variant,
        bars=() if subject.is_slow else _BARS,
        notes=notes,
    )


def _first_process(subject: Subject, run: LiveRun) -> tuple[float, float]:
    """Megabytes of all in the container, and of the shim that the daemon keeps beside it, if any."""
    first = psutil.Process(_pid(subject, run))
    inside = sum(_proportional(each.pid) for each in (first, *first.children(recursive=True)))
    parent = first.parent()
    beside = _proportional(parent.pid) if parent and parent.name().startswith(_SHIM) else 0.0
    return inside, beside


def _pid(subject: Subject, run: LiveRun) -> int:
    if subject.has_daemon:
        from sandbox_runner.engines.docker.connection import connect  # noqa: PLC0415 - the SDK, for those who use it

        client = connect(subject.config.docker_host)
        try:
            return int(client.inspect_container(run.container_id)["State"]["Pid"])
        finally:
            client.close()
    from sandbox_runner.engines.oci.bundles import Bundle  # noqa: PLC0415 - as above

    pid = Bundle(run.instance, run.container_id).pid()
    if pid is None:
        raise EngineError(f"{subject.name}: the container {run.container_id} has no process.")
    return pid


def _proportional(pid: int) -> float:
    """Raises OSError where the process is another user's."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


async def _bare(plan: Plan, count: int) -> Figure:
    """Interpreters that wait for a line."""

    def look() -> list[float]:
        words = [*plan.baseline.words, "-I", "-c", "print(1, flush=True); input()"]
        running = [
            subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(plan.baseline.env)
            )
            for _ in range(count)
        ]
        try:
            for each in running:
                assert each.stdout is not None
                each.stdout.readline()
            return [_proportional(each.pid) for each in running]
        finally:
            for each in running:
                each.kill()
                each.communicate()

    sizes = await to_thread.run_sync(look)
    return figure("idle", BARE, sizes, unit="MB", variant=f"{count} waiting")
