"""The waiting interpreter as a session's kernel: what it takes, and that it is like one that is started."""

from pathlib import Path

import pytest
from agent_client import AgentContainer, Result, StartAgent
from warm_client import start

from sandbox_runner.agent import protocol
from sandbox_runner.languages import find_language
from sandbox_runner.spec import Job

KERNEL = find_language("python").kernel

SURROUNDINGS = (Path(__file__).parents[1] / "payloads/kernel_surroundings.txt").read_text()


def cell(
    container: AgentContainer,
    job: Job,
    code: str,
    *,
    number: int = 1,
    name: str = "python/main",
    **changes: object,
) -> Result:
    """Runs ``code`` in the kernel of that name."""
    container.send(protocol.VALUE, code.encode(), job=number)
    settings = {"argv": KERNEL, "env": [f"{k}={v}" for k, v in job.env.items()], "cwd": job.cwd, **changes}
    return container.run(settings.pop("argv"), job=number, session=True, kernel=name, **settings)


def command(container: AgentContainer, argv: list[str], *, number: int) -> Result:
    return container.run(argv, job=number, session=True)


def test_it_is_the_kernel_of_the_first_context_and_keeps_its_state(
    start_agent: StartAgent, python_image: str
) -> None:
    container, job = start(start_agent, python_image, warm=True)
    assert cell(container, job, "x = 41").warm is True
    assert b"42" in cell(container, job, "x + 1", number=2).value
    other = cell(container, job, "x", number=3, name="python/other")
    assert (other.warm, other.end.status) == (False, 1)


def test_it_is_like_a_kernel_that_is_started(start_agent: StartAgent, python_image: str) -> None:
    printed = []
    for warm in (False, True):
        container, job = start(start_agent, python_image, warm=warm)
        result = cell(container, job, SURROUNDINGS)
        assert (result.warm, bytes(result.stderr)) == (warm, b"")
        printed.append(result.stdout.decode().splitlines())
    started, waited = printed
    assert waited == started
    assert len(started) >= 20


def test_what_it_raises_shows_no_frame_of_ours(start_agent: StartAgent, python_image: str) -> None:
    container, job = start(start_agent, python_image, warm=True)
    shown = cell(container, job, "1/0").stderr.decode().splitlines()
    assert [line.strip() for line in shown if "File" in line] == ['File "<cell 1>", line 1, in <module>']


def test_a_program_s_file_is_a_file_like_others(start_agent: StartAgent, python_image: str) -> None:
    container, job = start(start_agent, python_image, warm=True)
    container.send_file("main.py", b"x = 'mine'")
    result = cell(container, job, "import main; main.x")
    assert result.warm
    assert b"mine" in result.value


def test_what_is_random_differs_from_session_to_session(start_agent: StartAgent, python_image: str) -> None:
    shown = []
    for _ in range(2):
        container, job = start(start_agent, python_image, warm=True)
        shown.append(cell(container, job, "import random; print(hash('a'), random.random())").stdout)
    assert shown[0] != shown[1]


@pytest.mark.parametrize(
    "changes",
    [{"argv": [*KERNEL, "more"]}, {"argv": ["python3", "-u", KERNEL[1]]}, {"cwd": "/tmp"}],
    ids=str,
)
def test_another_command_or_folder_starts_a_kernel(
    start_agent: StartAgent, python_image: str, changes: dict[str, object]
) -> None:
    container, job = start(start_agent, python_image, warm=True)
    result = cell(container, job, "print('up')", **changes)
    assert (result.warm, result.stdout) == (False, b"up\n")


def test_another_environment_and_own_packages_start_a_kernel(
    start_agent: StartAgent, python_image: str
) -> None:
    container, job = start(start_agent, python_image, warm=True)
    env = [*(f"{name}={value}" for name, value in job.env.items()), "PYTHONOPTIMIZE=1"]
    result = cell(container, job, "print(__debug__)", env=env)
    assert (result.warm, result.stdout) == (False, b"False\n")
    container, job = start(start_agent, python_image, warm=True)
    container.send_file(".local/lib/python3.13/site-packages/mine.py", b"x = 1")
    result = cell(container, job, "import mine; print(mine.x)")
    assert (result.warm, result.stdout) == (False, b"1\n")


def test_with_modules_loaded_ahead_a_kernel_is_started(start_agent: StartAgent, python_image: str) -> None:
    container, job = start(start_agent, python_image, warm=True)
    container.send(protocol.PRELOAD, b"random")
    assert container.receive()[0] == protocol.PRELOADED
    result = cell(container, job, "import sys; print('random' in sys.modules)")
    assert (result.warm, result.stdout) == (False, b"False\n")


def test_a_command_before_it_leaves_it_waiting(start_agent: StartAgent, python_image: str) -> None:
    container, job = start(start_agent, python_image, warm=True)
    assert command(container, ["sh", "-c", "sleep 1000 & exit 3"], number=1).end.status == 3
    assert cell(container, job, "1", number=2).warm is True


def test_a_command_that_kills_it_leaves_its_place_to_another(
    start_agent: StartAgent, python_image: str
) -> None:
    container, job = start(start_agent, python_image, warm=True)
    command(container, ["sh", "-c", "kill -9 -1"], number=1)
    result = cell(container, job, "print('up')", number=2)
    assert (result.warm, result.end.state_lost, result.stdout) == (False, 0, b"up\n")


def test_its_end_frees_no_descriptor_that_others_have(start_agent: StartAgent, python_image: str) -> None:
    container, job = start(start_agent, python_image, warm=True)
    ended = cell(container, job, "import os; os._exit(3)")
    assert (ended.warm, ended.end.status, ended.end.state_lost) == (True, 3, 1)
    for number in (2, 4, 6):
        again = cell(container, job, "print('up')", number=number, name=f"python/{number}")
        assert (again.warm, again.stdout) == (False, b"up\n")
        shown = command(container, ["sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"], number=number + 1)
        assert shown.stdout == b"0 1 2 3 "  # the last is of ls
