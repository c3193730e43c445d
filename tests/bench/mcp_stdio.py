"""Measures of the stdio MCP server, as numbers for people: python tests/bench/mcp_stdio.py [NAME]…

first       how long after a program's first output its first progress message arrives
throughput  100 kB/s for 20 s, read back through read_output byte for byte while it runs
overhead    a run_code call against Runner.run of the same request, taking turns
cancels     200 calls cancelled at random moments: what is left 5 s later
kills       50 kills of the server at random moments: what is left 5 s later
"""

import base64
import contextlib
import hashlib
import json
import random
import signal
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from anyio.from_thread import start_blocking_portal

sys.path.insert(0, str(Path(__file__).parents[1]))
from mcp_clients import Pipe, containers_of, pipe, sdk_client, within

from sandbox_runner import Runner, RunRequest
from sandbox_runner.config import load_config
from sandbox_runner.engines.docker.connection import connect

ROUNDS = 30
FILLING = 0.4  # seconds for a pool to have a container waiting again
LEFT = 5.0  # seconds in which everything must be gone


def show(name: str, values: list[float], unit: str = "ms") -> None:
    values = sorted(values)
    p95 = values[int(0.95 * (len(values) - 1))]
    print(
        f"{name}: median {statistics.median(values):.1f}, p95 {p95:.1f}, most {values[-1]:.1f} {unit} "
        f"({len(values)} times)",
        flush=True,
    )


def first() -> None:
    """Program and client are on one machine, so one clock serves both: the program prints its time."""
    delays = []
    code = "import time\nprint(time.time(), flush=True)\ntime.sleep(0.3)"

    with sdk_client() as client:
        for _ in range(ROUNDS):
            seen: list[float] = []

            async def note(progress, total, message, seen=seen):
                if message[:1].isdigit():
                    seen.append((time.time() - float(message.split()[0])) * 1000)

            client.call("run_code", progress=note, language="python", code=code)
            delays.append(seen[0])
    show("first progress message after the first output", delays)


def throughput() -> None:
    """Bytes that differ everywhere, so that a hole or a repetition shows in the digest."""
    code = """
import random, sys, time
generator, began = random.Random(7), time.monotonic()
for n in range(200):
    sys.stdout.buffer.write(generator.randbytes(10_000))
    sys.stdout.flush()
    time.sleep(max(0, began + (n + 1) * 0.1 - time.monotonic()))
"""
    generator = random.Random(7)
    wanted = hashlib.sha256(b"".join(generator.randbytes(10_000) for _ in range(200)))
    with pipe() as server:
        began = time.monotonic()
        report = server.call("run_code", language="python", code=code, background=True, timeout_s=60)
        arguments = {"run_id": report["structuredContent"]["run_id"], "encoding": "base64", "wait_s": 50}
        seen, offset, pages, finished = hashlib.sha256(), 0, 0, False
        while not finished:
            page = server.call("read_output", offset=offset, **arguments)["structuredContent"]
            seen.update(base64.b64decode(page["data"]))
            offset, finished, pages = page["next_offset"], page["finished"], pages + 1
        seconds = time.monotonic() - began
    same = seen.digest() == wanted.digest()
    print(f"throughput: {offset} bytes in {seconds:.1f} s, {pages} pages, byte for byte: {same}", flush=True)


def overhead() -> None:
    """A server's pool and a Runner's, taking turns, each time after the pools have been filled again.

    The server's part is what a client of raw lines sees; the SDK's client adds its own time.
    """
    request = RunRequest(language="python", code="pass")
    asked = {"language": "python", "code": "pass"}
    took: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(pipe(reading=False))
        sdk = stack.enter_context(sdk_client())
        portal = stack.enter_context(start_blocking_portal())
        opened = Runner.open(load_config().config, pool=True)
        runner = stack.enter_context(portal.wrap_async_context_manager(opened))
        turns = {
            "Runner.run": lambda: portal.call(_timed, lambda: runner.run(request)),
            "run_code, raw lines": lambda: _raw_call(raw, "run_code", asked),
            "run_code, the SDK's client": lambda: sdk.portal.call(
                _timed, lambda: sdk.client.call_tool("run_code", asked)
            ),
            "list_runs, raw lines: runs nothing": lambda: _raw_call(raw, "list_runs", {}),
        }
        for round_ in range(ROUNDS + 5):
            for name in random.sample(list(turns), len(turns)):
                time.sleep(FILLING)
                value = turns[name]()
                if round_ >= 5:  # the first ones warm up
                    took.setdefault(name, []).append(value)
    for name in turns:
        show(name, took[name])
    difference = statistics.median(took["run_code, raw lines"]) - statistics.median(took["Runner.run"])
    print(f"overhead, difference of the medians: {difference:.1f} ms", flush=True)


async def _timed(function: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await function()
    return (time.perf_counter() - began) * 1000


def _raw_call(server: Pipe, tool: str, arguments: dict) -> float:
    began = time.perf_counter()
    number = server.start_call(tool, **arguments)
    while json.loads(server.process.stdout.readline()).get("id") != number:
        pass
    return (time.perf_counter() - began) * 1000


def cancels() -> None:
    client = connect(None)
    with pipe() as server:
        server.call("run_shell", command="true")
        for _ in range(50):
            numbers = [server.start_call("run_shell", command="sleep 0.2") for _ in range(4)]
            for number in numbers:
                time.sleep(random.uniform(0, 0.15))
                server.notify("notifications/cancelled", {"requestId": number})
        began = time.monotonic()
        gone = within(LEFT, lambda: containers_of(client, server) == [])
        statuses = [run["status"] for run in server.call("list_runs")["structuredContent"]["runs"]]
    count = {status: statuses.count(status) for status in set(statuses)}
    print(
        f"200 cancelled calls: all gone: {gone}, {time.monotonic() - began:.2f} s after the last; "
        f"of the last {len(statuses)}: {count}",
        flush=True,
    )


def kills() -> None:
    client = connect(None)
    times, had = [], 0
    for _ in range(50):
        server = Pipe()
        server.request("tools/list")
        for _ in range(3):
            server.start_call("run_shell", token="t", command="sleep 0.1; echo x; sleep 600")
        time.sleep(random.uniform(0.4, 1.6))
        had += bool(containers_of(client, server))
        server.process.send_signal(signal.SIGKILL)
        server.exit_status()
        began = time.monotonic()
        assert within(LEFT, lambda server=server: containers_of(client, server) == []), "containers are left"
        times.append(time.monotonic() - began)
        server.close()
    show("kill -9 of the server until nothing is left", times, "s")
    print(f"servers that had containers when they were killed: {had} of 50", flush=True)


MEASURES = {each.__name__: each for each in (first, throughput, overhead, cancels, kills)}

if __name__ == "__main__":
    for name in sys.argv[1:] or MEASURES:
        MEASURES[name]()
