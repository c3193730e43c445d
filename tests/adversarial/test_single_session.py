"""Attacks from a session: it lives longer than a run, and its PID 1 speaks for job after job."""

import pytest
from attack_runs import ATTACKS, IN, PATIENT, Attack, told, watched_runner

from sandbox_runner import InputFile, Principal

pytestmark = pytest.mark.anyio
SEALED = (
    "memory", "environment", "map", "descriptors", "output", "root", "working folder", "program"
)  # fmt: skip


@pytest.mark.parametrize(("without", "answer"), [("", "EACCES"), ("sealed PID 1", IN)])
async def test_neither_a_kernel_nor_a_command_gets_into_pid_1(without, answer, nothing_left):
    attack = Attack(file="pid_1.py", without=without)
    files = [InputFile(name, (ATTACKS / name).read_bytes()) for name in (attack.file, "attempts.py")]
    async with watched_runner() as (runner, _):
        principal = Principal(attack.name)
        async with runner.session("python", limits=PATIENT, principal=principal) as session:
            by_command = await session.command(["python3", attack.file], files=files)
            by_kernel = await session.run(attack.request().code)
    for result in (by_command, by_kernel):
        assert result.ok, result.stderr
        assert {name: told(result)[name] for name in SEALED} == dict.fromkeys(SEALED, answer)
