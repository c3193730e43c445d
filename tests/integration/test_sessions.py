"""Sessions on real engines: what is kept, what is interrupted, and what becomes of kernels that misbehave."""

import anyio
import pytest

from sandbox_runner import Config, InputFile, Limits, Runner
from sandbox_runner.engines.docker import inventory as docker_inventory
from sandbox_runner.engines.oci import inventory as oci_inventory
from sandbox_runner.errors import InvalidRequest, SessionEnded
from sandbox_runner.events import Output

pytestmark = pytest.mark.anyio
SHORT = Limits(wall_time=0.3)


@pytest.fixture(params=["docker", "oci"])
async def runner(request, anyio_backend):
    async with Runner.open(Config(engine=request.param)) as runner:
        yield runner


@pytest.fixture
async def session(runner):
    async with runner.session("python") as session:
        yield session


def shown(result) -> list[str]:
    return [display["text/plain"] for display in result.displays]


async def test_variables_files_and_folders_are_kept(session):
    await session.run("import os; x = 20; os.chdir('/tmp'); open('/workspace/f', 'w').write('hi')")
    assert shown(await session.run("x + 1, os.getcwd()")) == ["(21, '/tmp')"]
    assert (await session.command(["cat", "f"])).stdout == "hi"
    assert (await session.shell("A=1; cd /tmp; f() { echo $A; }")).ok
    assert (await session.shell("f; pwd; cat", stdin="in")).stdout == "1\n/tmp\nin"
    assert (await session.run("open('/workspace/g').read()", files=[InputFile("g", b"new")])).ok


async def test_a_cell_pasted_from_a_notebook_runs_and_says_where_packages_come_from(session):
    cell = "%matplotlib inline\nimport matplotlib.pyplot as plt\n!echo $((40 + 2))\nplt.plot([1, 2]);"
    result = await session.run(cell)
    assert (result.stdout, result.stderr, len(result.displays)) == ("42\n", "", 1)
    refused = await session.run("print('ran')\n!pip install numpy")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "packages are named when the session is opened" in refused.stderr


async def test_nobody_may_remove_the_container_before_the_session_is_over(runner, docker_client):
    async with runner.session("python", ttl=5000, limits=SHORT):
        if runner.engine_name == "docker":
            listed = docker_inventory.list_runs(docker_client, instance=runner.instance)
        else:
            listed = oci_inventory.list_runs(instance=runner.instance)
    assert [run.deadline - run.created >= 5000 for run in listed] == [True]


async def test_contexts_know_nothing_of_each_other(session):
    await session.run("x = 1")
    assert "NameError" in (await session.run("x", context="other")).stderr
    await session.shell("x=1")
    assert (await session.shell("echo [$x]", context="other")).stdout == "[]\n"
    with pytest.raises(InvalidRequest, match="context"):
        await session.run("x", context="../x")
    results = [await session.run("1", context=f"c{n}") for n in range(12)]
    assert all(result.ok for result in results)
    with pytest.raises(InvalidRequest, match="as many kernels"):
        await session.run("1", context="one-too-many")
    assert shown(await session.run("x")) == ["1"]


async def test_each_run_has_its_own_stdin_with_an_end(session):
    assert shown(await session.run("input()", stdin="one\ntwo\n")) == ["'one'"]
    assert "EOFError" in (await session.run("input()")).stderr
    assert shown(await session.run("import sys; sys.stdin.read()", stdin="x" * 300_000))[0] == repr(
        "x" * 300_000
    )
    assert shown(await session.run("import subprocess as s; s.run('cat', capture_output=True).stdout")) == [
        "b''"
    ]


async def test_input_that_nobody_reads_is_not_told_of_once_its_job_is_over(session):
    for number in range(40):  # what the host sends and the end of the job meet at some of these sizes
        result = await session.command(["true"], stdin=b"x" * (4000 * number + 100_000))
        assert (result.status, result.reason) == ("exited", "")
    assert (await session.run("x = 1", stdin=b"x" * 200_000)).ok


async def test_a_limit_interrupts_and_keeps_the_state(session):
    await session.run("x = 1")
    slept = await session.run("import time; time.sleep(100)", limits=SHORT)
    assert (slept.status, slept.state_lost, slept.limits_hit) == ("timed_out", False, {"wall_time": 1})
    printed = await session.run("while True: print('y' * 1000)", limits=Limits(output="100k"))
    assert (printed.status, printed.state_lost) == ("output_limit", False)
    computed = await session.run("while True: pass", limits=Limits(cpu_time=0.3))
    assert (computed.status, computed.state_lost) == ("cpu_limit", False)
    assert shown(await session.run("x")) == ["1"]
    await session.shell("x=2")
    assert (await session.shell("sleep 100", limits=SHORT)).status == "timed_out"
    assert (await session.shell("echo $x")).stdout == "2\n"


async def test_an_interrupt_and_a_cancellation_keep_the_state(session):
    await session.run("x = 1")
    async with session.stream("print('up')\nwhile True: pass") as run:
        async for event in run:
            if isinstance(event, Output):
                session.interrupt()
        assert (await run.result()).status == "cancelled"
    with anyio.move_on_after(0.3) as moved:
        await session.run("while True: pass")
    assert moved.cancelled_caught
    async with session.stream("while True: print('y' * 1000)", lossless=True):
        pass
    assert shown(await session.run("x")) == ["1"]


async def test_a_kernel_that_ignores_interrupts_is_restarted_alone(session):
    await session.shell("x=1")
    await session.run("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)")
    result = await session.run("while True: pass", limits=SHORT)
    assert (result.status, result.state_lost, result.reason) == ("timed_out", True, "kernel_restarted")
    assert "NameError" in (await session.run("signal")).stderr
    assert (await session.shell("echo $x")).stdout == "1\n"


@pytest.mark.parametrize(
    ("code", "status", "exit_code"),
    [
        ("import os; os._exit(3)", "exited", 3),
        ("import os\nif os.fork(): os._exit(0)\nimport time; time.sleep(1000)", "exited", 0),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signaled", None),
        ("import os; os.closerange(3, 100)", "exited", 1),
        ("import os; os.write(4, b'done 999 0\\n')", "signaled", None),
        ("import os; os.write(4, b'x' * 1000)", "signaled", None),
        ("x = bytearray(1 << 30)", "out_of_memory", None),
    ],
)
async def test_a_kernel_that_ends_or_breaks_the_rules_has_a_clear_outcome(session, code, status, exit_code):
    await session.shell("x=1")
    await session.run("x = 1")
    result = await session.run(code, limits=Limits(wall_time=5))
    assert (result.status, result.exit_code, result.state_lost) == (status, exit_code, True)
    assert result.reason == "kernel_restarted"
    assert "NameError" in (await session.run("x")).stderr
    assert (await session.shell("echo $x")).stdout == "1\n"


async def test_the_end_of_a_kernel_between_two_runs_is_told_by_the_next(session):
    pid = shown(await session.run("import os; os.getpid()"))[0]
    await session.command(["sh", "-c", f"kill -9 {pid}; while kill -0 {pid}; do :; done"])
    result = await session.run("2")
    assert (result.status, result.state_lost, shown(result)) == ("exited", True, ["2"])
    assert (await session.run("2")).state_lost is False


async def test_half_a_character_and_forged_displays_do_no_harm(session):
    result = await session.run("import os; os.write(1, b'\\xe2\\x82'); os.write(4, b'show 1 5\\nabc')")
    assert result.stdout.startswith("\ufffd")
    assert (await session.run("3")).status in ("exited", "signaled")
    code = "import os\nwhile True: os.write(4, b'show 0 1000\\n' + b'x' * 1000)"
    flood = await session.run(code, limits=SHORT)
    assert flood.status == "timed_out"
    assert (await session.run("4")).ok


async def test_a_command_leaves_kernels_and_background_processes_alive(session):
    await session.shell("sleep 1000 & echo $! > pid")
    result = await session.command(["sh", "-c", "sleep 1000 & kill -0 $(cat pid); exit 3"])
    assert result.exit_code == 3
    result = await session.command(["sh", "-c", "while :; do :; done"], limits=SHORT)
    assert (result.status, result.state_lost) == ("timed_out", False)
    assert (await session.shell("kill -0 $! && echo alive")).stdout == "alive\n"
    count = 'cat /proc/[0-9]*/cmdline | tr "\\0" "\\n" | grep -cx [s]leep'
    assert (await session.command(["sh", "-c", count])).stdout == "1\n"


async def test_a_session_whose_container_died_says_why(runner):
    async with runner.session("python") as session:

        async def die() -> None:
            session._container._channel.close()

        with anyio.fail_after(60):
            async with (
                session.stream("print('up')\nwhile True: pass") as run,
                anyio.create_task_group() as tasks,
            ):
                async for event in run:
                    if isinstance(event, Output):
                        tasks.start_soon(die)
                result = await run.result()
        assert (result.status, result.reason) == ("signaled", "sandbox_broken")
        with pytest.raises(SessionEnded, match=r"died.*open another"):
            await session.run("1")


async def test_a_closed_session_says_so_and_its_end_stops_what_runs(runner):
    async with runner.session("python") as session:
        await session.run("1")
    with pytest.raises(SessionEnded, match="closed"):
        await session.run("1")


async def test_a_language_without_a_kernel_runs_programs_that_find_earlier_files(runner):
    async with runner.session("typescript") as session:
        await session.run("import fs from 'fs'; fs.writeFileSync('f', 'hi')")
        assert (
            await session.run("import fs from 'fs'; console.log(fs.readFileSync('f', 'utf8'))")
        ).stdout == "hi\n"


async def test_javascript_keeps_its_state_and_may_declare_again(runner):
    async with runner.session("javascript") as session:
        assert shown(await session.run("const x = 1; let y = { a: 2 }; y")) == ["{ a: 2 }"]
        assert shown(await session.run("const x = await Promise.resolve(3); x + y.a")) == ["5"]
        thrown = await session.run("null.a")
        assert thrown.exit_code == 1
        assert "TypeError" in thrown.stderr
        assert "kernel.cjs" not in thrown.stderr
        for endless in ("while (true) {}", "await new Promise(() => {})"):
            stopped = await session.run(endless, limits=Limits(wall_time=1))
            assert (stopped.status, stopped.state_lost) == ("timed_out", False)
        assert shown(await session.run("x")) == ["3"]


async def test_an_interrupt_of_one_javascript_cell_never_ends_the_next(runner):
    at_its_end = "require('child_process').execSync(`kill -INT ${process.pid}`); 0"
    async with runner.session("javascript") as session:
        for _ in range(40):
            assert (await session.run(at_its_end)).exit_code in (0, 130)
            assert shown(await session.run("6 * 7")) == ["42"]


async def test_javascript_that_sends_itself_an_interrupt_is_interrupted_and_goes_on(runner):
    async with runner.session("javascript") as session:
        await session.run("x = 6")
        sends = "process.kill(process.pid, 'SIGINT')"
        for code in (sends, f"setTimeout(() => {sends}); await new Promise(() => {{}})"):
            result = await session.run(code)
            assert (result.exit_code, result.stderr, result.state_lost) == (130, "Interrupted\n", False)
            assert shown(await session.run("x * 7")) == ["42"]
        assert shown(await session.run("process.kill(process.pid, 'SIGWINCH')")) == ["true"]
        lost = await session.run("process.kill(0, 'SIGWINCH')")
        assert (lost.exit_code, lost.state_lost, "has been closed" in lost.stderr) == (1, True, True)
        assert shown(await session.run("typeof x")) == ["'undefined'"]


async def test_javascript_is_interrupted_after_an_await_and_in_callbacks(runner):
    async with runner.session("javascript") as session:
        await session.run("x = 6; const { AsyncLocalStorage } = require('async_hooks')")
        endless = "while (true) {}"
        for code in (
            f"await new Promise((go) => setTimeout(go, 5)); {endless}",
            f"await new Promise(() => setImmediate(() => {{ {endless} }}))",
            f"await require('fs').promises.stat('/'); {endless}",
            f"await new Promise(() => new AsyncLocalStorage().run(1, setTimeout, () => {{ {endless} }}, 1))",
            f"await new Promise(() => require('fs').stat('/', () => {{ {endless} }}))",
        ):
            stopped = await session.run(code, limits=SHORT)
            assert (stopped.status, stopped.state_lost, stopped.stderr) == (
                "timed_out",
                False,
                "Interrupted\n",
            )
            assert shown(await session.run("await new Promise((go) => setTimeout(go, 5)); x * 7")) == ["42"]


async def test_what_a_javascript_cell_left_behind_is_interrupted_with_the_cell_that_waits_for_it(runner):
    async with runner.session("javascript") as session:
        await session.run("x = 6; ticks = 0; setInterval(() => ticks++, 5)")
        await session.run("setTimeout(() => { require('fs').writeFileSync('busy', ''); while (true) {} }, 5)")
        await session.command(["sh", "-c", "until [ -e busy ]; do :; done"])
        waited = await session.run("x = 7", limits=SHORT)
        assert (waited.status, waited.state_lost) == ("timed_out", False)
        assert shown(await session.run("x")) == ["6"]
        assert shown(
            await session.run("n = ticks; while (ticks < n + 3) await new Promise(setImmediate); x")
        ) == ["6"]


async def test_javascript_that_is_interrupted_as_it_prints_goes_on_printing_later(runner):
    async with runner.session("javascript") as session:
        for code in (
            "while (true) console.log('x')",
            "await 1; while (true) process.stdout.write('x\\n')",
            "new (require('async_hooks').AsyncResource)('x').runInAsyncScope(() => { while (true); })",
        ):
            stopped = await session.run(code, limits=Limits(wall_time=1))
            assert (stopped.ok, stopped.state_lost) == (False, False)
            assert (await session.run("console.log(42); console.error(43)")).stdout == "42\n"


async def test_javascript_imports_modules_files_and_what_they_export(runner):
    async with runner.session("javascript") as session:
        await session.write_file("lib/sum.mjs", b"export default (a, b) => a + b; export const one = 1;")
        assert shown(await session.run("(await import('node:path')).basename('/a/b')")) == ["'b'"]
        assert shown(await session.run("(await import('./lib/sum.mjs')).default(2, 3)")) == ["5"]
        static = "import sum, { one as first } from './lib/sum.mjs'\nimport * as all\nfrom 'node:fs'\n"
        result = await session.run(static + "sum(first, 1) + typeof all.readFileSync")
        assert (shown(result), result.stderr) == (["'2function'"], "")
        assert shown(await session.run("import sum from './lib/sum.mjs'; sum(first, 2)")) == ["3"]
        for wrong, told in (
            ("import { no } from 'node:fs'", "does not provide an export named 'no'"),
            ("await import('./no.mjs')", "Cannot find module '/workspace/no.mjs'"),
            ("import 'fs", "Unterminated string constant (1:7)"),
        ):
            result = await session.run(wrong)
            assert (result.exit_code, told in result.stderr) == (1, True), result.stderr
            assert "kernel.cjs" not in result.stderr
