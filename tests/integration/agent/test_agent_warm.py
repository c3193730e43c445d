"""What the waiting interpreter takes, what it leaves to one that is started, and what it must not know."""

import pytest
from agent_client import AgentContainer, StartAgent
from test_agent_sealing import ATTACKS, FORGERY
from warm_client import Program, run, start

from sandbox_runner.agent import protocol

SHOWN = Program(b"import os, sys; print(sys.argv, os.getcwd(), list(os.environ)[-1])")


def test_it_runs_what_the_container_was_made_for(start_agent: StartAgent, python_image: str) -> None:
    container, job = start(start_agent, python_image, warm=True)
    result = run(container, job, SHOWN)
    assert (result.warm, result.stdout) == (True, b"['main.py'] /workspace MPLCONFIGDIR\n")


@pytest.mark.parametrize(
    "changes",
    [
        {"argv": ["python3", "main.py", "more"]},
        {"argv": ["python3", "-u", "main.py"]},
        {"argv": ["/usr/bin/python3", "main.py"]},
        {"cwd": "/tmp"},
    ],
    ids=str,
)
def test_another_command_or_folder_is_started_anew(
    start_agent: StartAgent, python_image: str, changes: dict[str, object]
) -> None:
    container, job = start(start_agent, python_image, warm=True)
    assert run(container, job, SHOWN, **changes).warm is False


@pytest.mark.parametrize("change", ["more", "less", "other", "order"])
def test_another_environment_is_started_anew(start_agent: StartAgent, python_image: str, change: str) -> None:
    container, job = start(start_agent, python_image, warm=True)
    env = [f"{name}={value}" for name, value in job.env.items()]
    changed = {
        "more": [*env, "PYTHONOPTIMIZE=1"],
        "less": env[:-1],
        "other": [*env[:-1], "MPLCONFIGDIR=/elsewhere"],
        "order": env[::-1],
    }[change]
    program = Program(b"import os; print(*(f'{n}={v}' for n, v in os.environ.items()), sep='\\n')")
    result = run(container, job, program, env=changed)
    assert result.warm is False
    assert result.stdout.decode().split("\n") == [*changed, ""]


def test_what_is_not_python_ends_it_first(start_agent: StartAgent, python_image: str) -> None:
    container, job = start(start_agent, python_image, warm=True)
    result = run(container, job, SHOWN, argv=["sh", "-c", "echo /proc/[0-9]*; ls /proc/self/fd"])
    processes, *descriptors = result.stdout.decode().strip().split("\n")
    assert result.warm is False
    assert len(processes.split()) == 2  # PID 1 and the shell
    assert descriptors == ["0", "1", "2", "3"]  # the last is of ls


def test_a_function_is_called_anew_and_has_its_value(start_agent: StartAgent, python_image: str) -> None:
    container, job = start(start_agent, python_image, warm=True)
    container.send(protocol.VALUE, b"20")
    program = Program(b"def execute(value): return value + 1")
    result = run(container, job, program, argv=["python3", "/usr/lib/sandbox-runner/function.py", "main.py"])
    assert (result.warm, result.end.status, result.value) == (False, 0, b"21")


def test_the_container_s_own_command_with_a_value_is_started_anew(
    start_agent: StartAgent, python_image: str
) -> None:
    container, job = start(start_agent, python_image, warm=True)
    container.send(protocol.VALUE, b"20")
    result = run(container, job, Program(b"import os; print(os.read(3, 9)); os.write(4, b'back')"))
    assert (result.warm, result.stdout, result.value) == (False, b"b'20'\n", b"back")


def test_it_serves_one_job_only(start_agent: StartAgent, python_image: str) -> None:
    container, job = start(start_agent, python_image, warm=True)
    assert run(container, job, SHOWN).warm is True
    env = [f"{name}={value}" for name, value in job.env.items()]
    assert container.run(job.argv, env=env, job=2).warm is False


def test_what_is_random_differs_from_run_to_run(start_agent: StartAgent, python_image: str) -> None:
    program = Program(
        b"import os, random, uuid, numpy, tempfile\n"
        b"print(hash('a'), random.random(), uuid.uuid4(), numpy.random.random(), os.urandom(4), sep='\\n')\n"
        b"print(next(tempfile._get_candidate_names()))"
    )
    shown = []
    for _ in range(2):
        container, job = start(start_agent, python_image, warm=True)
        result = run(container, job, program)
        assert result.warm
        shown.append(result.stdout.decode().split())
    assert all(one != other for one, other in zip(*shown, strict=True))


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_by_a_program_that_was_a_part_of_pid_1_is_refused(
    start_agent: StartAgent, python_image: str, attack: str
) -> None:
    container, job = start(start_agent, python_image, warm=True)
    result = run(container, job, Program(ATTACKS[attack].encode()))
    assert result.warm
    assert b"GOT IN" not in result.stdout
    assert b"PermissionError" in result.stderr


def test_a_forged_exit_does_not_reach_the_host(start_agent: StartAgent, python_image: str) -> None:
    container, job = start(start_agent, python_image, warm=True)
    result = run(container, job, Program(FORGERY.encode()))
    assert (result.warm, result.end.status) == (True, 1)
    assert b"PermissionError" in result.stderr


def test_what_the_host_told_pid_1_is_not_in_the_program_s_memory(
    start_agent: StartAgent, python_image: str
) -> None:
    program = Program(b"""
import re
mine = "-".join(("a", "secret", "of", "mine"))
with open("/proc/self/mem", "rb", 0) as memory:
    for line in list(open("/proc/self/maps")):
        start, end = (int(each, 16) for each in line.split()[0].split("-"))
        if " rw" in line and "[v" not in line:
            memory.seek(start)
            print(*re.findall(rb"a-secret-of-(?:mine|pid[-]1)", memory.read(end - start)))
""")
    container, job = start(start_agent, python_image, warm=True)
    result = run(container, job, program, artifacts=["a-secret-of-pid-1"])
    assert result.warm
    assert b"a-secret-of-mine" in result.stdout
    assert b"a-secret-of-pid-1" not in result.stdout


def preload(container: AgentContainer, names: bytes) -> bool:
    container.send(protocol.PRELOAD, names)
    kind, job, flags = container.receive()
    assert (kind, job) == (protocol.PRELOADED, 1)
    return flags == bytes([protocol.WARM])


EXITING = b"unittest.__main__"  # it runs as it is imported, and exits

LOADED = Program(b"""
import sys
print("numpy" in sys.modules, "random" in sys.modules, len(__import__("os").listdir("/proc/self/fd")))
import numpy, random
print(numpy.arange(3).sum(), random.__file__)
""")


def test_modules_are_loaded_ahead(start_agent: StartAgent, python_image: str) -> None:
    container, job = start(start_agent, python_image, warm=True)
    assert preload(container, b"numpy no_such_module random")
    result = run(container, job, LOADED)
    assert (result.warm, bytes(result.stderr)) == (True, b"")
    assert result.stdout.split() == [b"True", b"True", b"4", b"3", b"/usr/lib/python3.13/random.py"]


@pytest.mark.parametrize("name", ["random.py", "numpy/__init__.py", "pickle.py"])
def test_a_file_named_like_a_loaded_module_is_what_is_imported(
    start_agent: StartAgent, python_image: str, name: str
) -> None:
    container, job = start(start_agent, python_image, warm=True)
    assert preload(container, b"numpy random")
    module = name.partition("/")[0].partition(".")[0]
    program = Program(f"import {module}; print({module}.x)".encode(), files={name: b"x = 'mine'"})
    result = run(container, job, program)
    assert (result.warm, result.stdout) == (False, b"mine\n")


def test_a_file_is_known_to_be_named_like_a_module_of_any_of_several_loads(
    start_agent: StartAgent, python_image: str
) -> None:
    container, job = start(start_agent, python_image, warm=True)
    assert preload(container, b"numpy")
    assert preload(container, b"graphlib")
    program = Program(b"import graphlib; print(graphlib.x)", files={"graphlib.py": b"x = 'mine'"})
    result = run(container, job, program)
    assert (result.warm, result.stdout) == (False, b"mine\n")


def test_other_files_do_not_keep_it_from_running(start_agent: StartAgent, python_image: str) -> None:
    container, job = start(start_agent, python_image, warm=True)
    assert preload(container, b"numpy")
    program = Program(b"import helper; print(helper.x)", files={"helper.py": b"x = 'mine'", "data.csv": b""})
    result = run(container, job, program)
    assert (result.warm, result.stdout) == (True, b"mine\n")


def test_what_is_random_differs_with_modules_loaded_ahead(start_agent: StartAgent, python_image: str) -> None:
    shown = []
    for _ in range(2):
        container, job = start(start_agent, python_image, warm=True)
        assert preload(container, b"random numpy numpy.random uuid")
        program = Program(b"import random, numpy.random; print(random.random(), numpy.random.random())")
        shown.append(run(container, job, program).stdout.split())
    assert all(one != other for one, other in zip(*shown, strict=True))


def test_nothing_is_loaded_where_nothing_can_load(agent: AgentContainer) -> None:
    assert not preload(agent, b"numpy")
    assert agent.run(["true"]).end.status == 0


def test_an_interpreter_that_dies_of_what_it_loads_leaves_its_job_to_another(
    start_agent: StartAgent, python_image: str
) -> None:
    container, job = start(start_agent, python_image, warm=True)
    assert not preload(container, EXITING)
    assert run(container, job, SHOWN).warm is False


@pytest.mark.parametrize(
    "names", [b"", b"a\0b", b"\1", b"a" * 1025], ids=["none", "nul", "kernel", "too long"]
)
def test_a_bad_preload_ends_the_container(start_agent: StartAgent, python_image: str, names: bytes) -> None:
    container, _ = start(start_agent, python_image, warm=True)
    container.send(protocol.PRELOAD, names)
    kind, _, payload = container.receive()
    assert (kind, payload[0]) == (protocol.FAILED, protocol.STAGE_PROTOCOL)


def test_another_python_that_has_pipes_of_these_numbers_waits_for_nothing(
    start_agent: StartAgent, python_image: str
) -> None:
    program = Program(b"""
import os, subprocess, sys
if os.path.exists("again"): sys.exit("again")
open("again", "w").close()
begin, answers = os.pipe(), os.pipe()
os.dup2(begin[0], 62)
os.dup2(answers[1], 63)
print(subprocess.run(["python3", "main.py"], pass_fds=(62, 63)).returncode)
""")
    container, job = start(start_agent, python_image, warm=True)
    result = run(container, job, program)
    assert (result.warm, bytes(result.stdout), bytes(result.stderr)) == (True, b"1\n", b"again\n")
