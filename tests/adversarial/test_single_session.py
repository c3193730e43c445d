"""Attacks from a session: it lives longer than a run, and its PID 1 speaks for job after job.

Each is made twice on each engine: as it is, and in a container whose PID 1 lacks the one control it meets.
"""

from contextlib import asynccontextmanager

import pytest
from attack_runs import ATTACKS, IN, PATIENT, Attack, told, weakened
from weakened import UNSEALED

from sandbox_runner import Config, InputFile, Limits, Runner

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]
SEALED = (
    "memory", "environment", "map", "descriptors", "output", "root", "working folder", "program"
)  # fmt: skip
BRIEF = Limits(wall_time=1)


class Weakened:
    """An engine that weakens the PID 1 of each container by ``changes`` of its source."""

    def __init__(self, engine, changes):
        self._engine, self._changes = engine, changes

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def create(self, spec):
        return self._engine.create(weakened(spec, self._changes))


@pytest.fixture(params=["docker", "oci"])
def engine(request) -> str:
    return request.param


@asynccontextmanager
async def opened(engine, without):
    """A session whose PID 1 lacks what the changes ``without`` take from it."""
    async with Runner.open(Config(engine=engine)) as runner:
        # Runner.open chooses the engine; there is no setting to weaken it, and there shall be none.
        runner._engine = Weakened(runner._engine, without)
        async with runner.session("python", limits=PATIENT) as session:
            yield session


async def goes_on(session) -> bool:
    """Whether the session's next step is one like any other."""
    result = await session.run("print('on')")
    return (result.status, result.stdout, result.stderr) == ("exited", "on\n", "")


@pytest.mark.parametrize(("without", "answer"), [((), "EACCES"), (UNSEALED, IN)], ids=["", "unsealed"])
async def test_neither_a_kernel_nor_a_command_gets_into_pid_1(engine, without, answer, nothing_left):
    attack = Attack(file="pid_1.py")
    files = [InputFile(name, (ATTACKS / name).read_bytes()) for name in (attack.file, "attempts.py")]
    async with opened(engine, without) as session:
        by_command = await session.command(["python3", attack.file], files=files)
        by_kernel = await session.run(attack.request().code)
    answers = dict.fromkeys(SEALED, answer)
    if engine == "oci" and without:
        answers["output"] = "ENXIO"  # a socket, which nobody opens by a path
    for result in (by_command, by_kernel):
        assert result.ok, result.stderr
        assert {name: told(result)[name] for name in SEALED} == answers


LEFT_OPEN = [("close_inherited();\n    umask", "dup2(1, 200);\n    umask")]
CHANNEL = 'os.open("/proc/1/fd/1", os.O_WRONLY)'  # how the attack gets it on Docker


@pytest.mark.parametrize(
    ("engine", "channel", "without", "refusal"),
    [("docker", CHANNEL, UNSEALED, "EACCES"), ("oci", "200", LEFT_OPEN, "EBADF")],
    ids=["docker", "oci"],
)
async def test_a_kernel_forges_no_path_of_a_file_that_comes_back(
    engine, channel, without, refusal, nothing_left
):
    code = Attack(file="forged_paths.py").request().code.replace(CHANNEL, channel)
    helper = InputFile("attempts.py", (ATTACKS / "attempts.py").read_bytes())
    async with opened(engine, ()) as session:
        result = await session.run(code, files=[helper], artifacts=["**"])
        assert (told(result), result.artifacts) == ({"descriptor 1": refusal}, ())
        assert await goes_on(session)
    async with opened(
        engine, without
    ) as session:  # what it writes comes to the host, which believes none of it
        result = await session.run(code, files=[helper], artifacts=["**"])
        assert (result.status, result.reason, result.artifacts) == ("signaled", "sandbox_broken", ())


ANY_JOB = [("return job == messages->job && number < CODES;", "return true;")]


@pytest.mark.parametrize("without", [(), ANY_JOB], ids=["", "the end of any job"])
async def test_a_kernel_ends_no_job_but_its_own(engine, without, nothing_left):
    """It says of another job that it is done, and goes on."""
    async with opened(engine, without) as session:
        result = await session.run("import os, time; os.write(4, b'done 999 0\\n'); time.sleep(1000)")
        if without:  # it goes on behind the back of who was told that it has ended
            assert (result.status, result.exit_code, result.state_lost) == ("exited", 0, False)
            assert (await session.run("print('on')", limits=BRIEF)).status == "timed_out"
        else:
            assert (result.status, result.state_lost) == ("signaled", True)
            assert await goes_on(session)


UNBOUNDED = [("messages->room = MAX_RETURNED;", "messages->room = (size_t)1 << 60;")]
FLOOD = """
import os
line = b"x" * 65_000 + b"\\n"
message = b"show 1 %d\\n" % len(line) + line
for _ in range(300):
    sent = 0
    while sent < len(message):
        sent += os.write(4, message[sent:])
"""


@pytest.mark.parametrize("without", [(), UNBOUNDED], ids=["", "a bound"])
async def test_a_kernel_floods_nobody_with_displays(engine, without, nothing_left):
    async with opened(engine, without) as session:
        result = await session.run(FLOOD)
        if without:  # the host, which has a bound of its own, gives up the container
            assert (result.status, result.reason) == ("signaled", "sandbox_broken")
        else:
            assert (result.status, result.exit_code) == ("exited", 0)
            assert await goes_on(session)


PATIENT_WITH_THE_MUTE = [
    ("drop_code(run);\n    run->mute_end = end < run->mute_end ? end : run->mute_end;", "")
]


@pytest.mark.parametrize(
    ("without", "status"), [((), "signaled"), (PATIENT_WITH_THE_MUTE, "timed_out")], ids=["", "its end"]
)
async def test_a_kernel_that_closes_its_descriptors_is_not_waited_for(engine, without, status, nothing_left):
    async with opened(engine, without) as session:
        code = "import os, time; os.closerange(3, 100); time.sleep(1000)"
        result = await session.run(code, limits=BRIEF)
        assert (result.status, result.state_lost) == (status, True)


LEFT_ALONE = [("signal_group(program, SIGKILL);\n    each_process(kill_of_session, &session);", "")]
FORKING = """
import os
reader, writer = os.pipe()  # which the exec closes
if not os.fork():
    os.execvp("sleep", ["sleep", "1000"])
os.close(writer)
os.read(reader, 1)
os._exit(0)
"""


@pytest.mark.parametrize("without", [(), LEFT_ALONE], ids=["", "a kill of its session"])
async def test_a_kernel_that_forks_and_exits_leaves_no_process(engine, without, nothing_left):
    count = 'cat /proc/[0-9]*/cmdline | tr "\\0" "\\n" | grep -cx [s]leep'
    async with opened(engine, without) as session:
        result = await session.run(FORKING)
        assert (result.status, result.exit_code, result.state_lost) == ("exited", 0, True)
        assert (await session.command(["sh", "-c", count])).stdout == ("1\n" if without else "0\n")
        assert await goes_on(session)
