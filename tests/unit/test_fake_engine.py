"""The engine in memory as a user's tests use it."""

import json

import anyio
import pytest

from sandbox_runner import Config, Limits, Output, RunRequest
from sandbox_runner.errors import ImageNotFound, InstallFailed, LimitExceeded, NotPermitted, StartFailed
from sandbox_runner.testing import FakeEngine, Reply, fake_runner, fake_runner_on, read_stdin

pytestmark = pytest.mark.anyio


def silent(_job) -> Reply:
    return Reply()


async def test_what_the_test_says_is_the_result():
    async with fake_runner(lambda job: Reply(stdout=b"42\n", exit_code=7)) as runner:
        result = await runner.run(RunRequest(language="python", code="print(42)"))
    assert (result.status, result.exit_code, result.stdout) == ("exited", 7, "42\n")


async def test_the_job_can_be_looked_at():
    async def answer(job) -> Reply:
        return Reply(stdout=job.files[0].data + await read_stdin(job) + job.env["A"].encode())

    async with fake_runner(answer) as runner:
        request = RunRequest(language="python", code="the code ", stdin="input ", env={"A": "b"})
        assert (await runner.run(request)).stdout == "the code input b"


async def test_policy_is_the_real_one():
    async with fake_runner(silent, config=Config(max_wall_time=60)) as runner:
        with pytest.raises(LimitExceeded):
            await runner.run(RunRequest(command=["true"], limits=Limits(wall_time=61)))


async def test_a_program_runs_until_its_function_returns_and_can_be_cancelled():
    async def answer(_job) -> Reply:
        await anyio.sleep_forever()
        return Reply()

    async with fake_runner(answer) as runner, runner.stream(RunRequest(command=["x"])) as stream:
        stream.cancel()
        assert (await stream.result()).status == "cancelled"


async def test_output_streams():
    async with fake_runner(lambda job: Reply(stdout=b"one", stderr=b"two")) as runner:
        async with runner.stream(RunRequest(command=["x"])) as stream:
            outputs = [event async for event in stream if isinstance(event, Output)]
    assert [(each.stream, each.text) for each in outputs] == [("stdout", "one"), ("stderr", "two")]


async def test_the_engine_can_fail():
    engine = FakeEngine(silent)
    async with fake_runner_on(engine) as runner:
        engine.refusal = StartFailed("It is full.")
        with pytest.raises(StartFailed, match="full"):
            await runner.run(RunRequest(command=["true"]))
        engine.refusal = None
        assert (await runner.run(RunRequest(command=["true"]))).ok
        with pytest.raises(ImageNotFound):
            await runner.run(RunRequest(command=["true"], image="mine"))
        engine.images["mine"] = "an id"
        assert (await runner.run(RunRequest(command=["true"], image="mine"))).ok
        await anyio.wait_all_tasks_blocked()
    assert [spec.image.name for spec in engine.made] == ["shell", "mine"]
    assert engine.live == frozenset()


async def test_what_a_function_of_the_test_raises_arrives():
    def answer(_job) -> Reply:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with fake_runner(answer) as runner:
            await runner.run(RunRequest(command=["x"]))


async def test_code_of_a_session_comes_with_its_kernel_and_what_it_left_is_for_the_function():
    variables: dict[str, dict] = {}

    async def answer(job) -> Reply:
        if job.kernel is None:
            return Reply(stdout=b"a command")
        if job.value == b"sleep":
            await anyio.sleep_forever()
        if job.value == b"exit":
            variables.pop(job.kernel)
            return Reply(exit_code=3, state_lost=True)
        kept = variables.setdefault(job.kernel, {})
        exec(job.value, kept)
        shown = json.dumps({"data": {"text/plain": str(kept.get("x"))}, "metadata": {}})
        return Reply(value=shown.encode())

    async with fake_runner(answer) as runner, runner.session("python") as session:
        await session.run("x = 20")
        assert (await session.run("x += 1")).displays[0] == {"text/plain": "21"}
        assert (await session.run("pass", context="other")).displays[0] == {"text/plain": "None"}
        assert sorted(variables) == ["python/main", "python/other"]
        async with session.stream("sleep") as run:
            session.interrupt()
            assert (await run.result()).status == "cancelled"
        slow = await session.run("sleep", limits=Limits(wall_time=0.01))
        assert (slow.status, slow.state_lost) == ("timed_out", False)
        assert (await session.command(["ls"])).stdout == "a command"
        ended = await session.run("exit")
        assert (ended.exit_code, ended.state_lost, ended.reason) == (3, True, "kernel_restarted")
        assert (await session.run("pass")).displays[0] == {"text/plain": "None"}


async def test_packages_are_there_as_soon_as_they_are_allowed():
    engine, told = FakeEngine(silent), []
    request = RunRequest(language="python", code="1", packages=["numpy >= 2"])
    allowing = Config(packages=("pip:numpy",))
    async with fake_runner_on(engine, config=allowing) as runner:
        for _ in range(2):
            async with runner.stream(request, tell=told.append) as run:
                assert (await run.result()).ok
        async with runner.session(packages=["numpy>=2"]) as session:
            assert (await session.run("1")).ok
    assert told == ["installing numpy>=2"]
    ((image, words),) = engine.installed.items()
    assert words == ("numpy>=2",)
    assert {spec.image.name for spec in engine.made} == {image}
    async with fake_runner(silent) as runner:
        with pytest.raises(NotPermitted, match="numpy"):
            await runner.run(request)


async def test_a_package_can_be_one_that_no_index_has():
    engine = FakeEngine(silent)
    engine.uninstallable.add("nowhere")
    async with fake_runner_on(engine, config=Config(packages=("pip:*", "npm:*"))) as runner:
        for language in ("python", "javascript"):
            with pytest.raises(InstallFailed, match="nowhere"):
                await runner.run(RunRequest(language=language, code="1", packages=["nowhere"]))
    assert (engine.installed, engine.made) == ({}, [])
