"""Parts of PID 1 as a process, built once; and no clock for examples of hypothesis, on a loaded machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from pid1_parts import Parts, build, parts

settings.register_profile("without a clock", deadline=None)
settings.load_profile("without a clock")


@pytest.fixture(scope="session")
def pid1_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("pid1") / "parts"
    build(program)
    return program


@pytest.fixture(scope="session")
def pid1(pid1_program: Path) -> Iterator[Parts]:
    with parts(pid1_program) as process:
        yield process


@pytest.fixture
def pid1_below(pid1_program: Path, tmp_path: Path) -> Iterator[Parts]:
    """The kernel's counters are those in the test's own folder."""
    with parts(pid1_program, cwd=tmp_path) as process:
        yield process
