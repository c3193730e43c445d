"""Measures of the stdio MCP server, as numbers for people: python tests/bench/mcp_stdio.py [NAME]…

first       how long after a program's first output its first progress message arrives
throughput  100 kB/s for 20 s, read back through read_output byte for byte while it runs
overhead    a run_code call against Runner.run of the same request, taking turns
cancels     200 calls cancelled at random moments: what is left 5 s later
kills       50 kills of the server at random moments: what is left 5 s later
"""

import base64
import hashlib
import random
import signal
import statistics
import sys
import time
from pathlib import Path

from anyio.from_thread import start_blocking_portal

sys.path.insert(0, str(Path(__file__).parents[1]))
from mcp_clients import Pipe, containers_of, pipe, sdk_client, within

from sandbox_runner import Runner, RunRequest
from sandbox_runner.config import load_config
from sandbox_runner.engines.docker.connection import connect

ROUNDS = 30
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
    """Both in warm processes: one server, one Runner; calls take turns, so the machine's load is the same."""
    request = RunRequest(language="python", code="pass")
    calls, runs, differences, listings = [], [], [], []
    with sdk_client() as client, start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(Runner.open(load_config().config)) as runner:

            async def run_once() -> float:
                began = time.perf_counter()
                await runner.run(request)
                return (time.perf_counter() - began) * 1000

            async def call_once() -> float:
                began = time.perf_counter()
                await client.client.call_tool("run_code", {"language": "python", "code": "pass"})
                return (time.perf_counter() - began) * 1000

            async def list_once() -> float:
                began = time.perf_counter()
                await client.client.call_tool("list_runs", {})
                return (time.perf_counter() - began) * 1000

            for round_ in range(3 * ROUNDS + 5):
                turn = [("run", portal.call, run_once), ("call", client.portal.call, call_once)]
                random.shuffle(turn)
                took = {name: call(function) for name, call, function in turn}
                listings.append(client.portal.call(list_once))
                if round_ >= 5:  # the first ones warm up
                    calls.append(took["call"])
                    runs.append(took["run"])
                    differences.append(took["call"] - took["run"])
    show("Runner.run", runs)
    show("run_code", calls)
    show("difference of neighbours", differences)
    show("list_runs, which runs nothing", listings)
    print(
        f"difference of the medians: {statistics.median(calls) - statistics.median(runs):.1f} ms", flush=True
    )


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
