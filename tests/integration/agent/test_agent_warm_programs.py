"""A program prints and ends alike whether its interpreter was started for it or had waited for it.

Every second program of the corpus is run; with SANDBOX_RUNNER_TEST_WHOLE=1 in the environment all are.
"""

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from agent_client import Result, StartAgent
from program_files import BYTE_PROGRAMS, FOLDER, IMPORTS, read_programs
from warm_client import Program, run, start

STEP = 1 if os.environ.get("SANDBOX_RUNNER_TEST_WHOLE") else 2
CORPUS = {path.stem: read_programs(path) for path in sorted(FOLDER.glob("*.txt"))} | {
    "bytes": BYTE_PROGRAMS,
    "imports": IMPORTS,
}
FAMILIES = {family: dict(list(programs.items())[::STEP]) for family, programs in CORPUS.items()}
AT_A_TIME = 4
ADDRESS = re.compile(rb"0x[0-9a-f]{6,}")


def seen(result: Result) -> tuple[object, ...]:
    printed = (ADDRESS.sub(b"0x-", bytes(stream)) for stream in (result.stdout, result.stderr))
    return *printed, result.end.cause, result.end.status


def test_there_are_at_least_300_programs() -> None:
    assert sum(map(len, FAMILIES.values())) >= 300


@pytest.mark.timeout(600)
@pytest.mark.parametrize("family", FAMILIES)
def test_programs_behave_alike_with_and_without_a_waiting_interpreter(
    start_agent: StartAgent, python_image: str, node_image: str, family: str
) -> None:
    language = "javascript" if family == "javascript" else "python"
    image = python_image if language == "python" else node_image

    def both(program: Program) -> list[tuple[object, ...]]:
        outcomes = []
        for warm in (False, True):
            container, job = start(start_agent, image, warm=warm, language=language)
            result = run(container, job, program)
            # What a program's own packages do as Python starts can only be had by starting it.
            assert result.warm == (warm and not any(name.startswith(".local/") for name in program.files))
            outcomes.append(seen(result))
            container.close()
        return outcomes

    programs = FAMILIES[family]
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        pairs = dict(zip(programs, threads.map(both, programs.values()), strict=True))
    different = {name: (cold, warm) for name, (cold, warm) in pairs.items() if cold != warm}
    for name, outcomes in different.items():
        print(name, *outcomes, sep="\n")
    assert list(different) == []
