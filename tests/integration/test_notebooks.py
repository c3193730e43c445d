"""Cells give in a session what they give in IPython: the same output, values, forms of them, and exceptions.

IPython runs them in a container of the same image, beside the same packages. Six notebooks are run, three on
each engine; with SANDBOX_RUNNER_TEST_WHOLE=1 in the environment all are on both.
"""

import importlib.metadata
import io
import json
import os
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from sandbox_runner import Config, InputFile, Limits, RunRequest
from sandbox_runner.runner import Runner

FOLDER = Path(__file__).parents[1] / "notebooks"
PAYLOAD = Path(__file__).parent / "payloads" / "ipython_cells.py"
NOTEBOOKS = {
    path.stem: re.split(r"^# %%\n", path.read_text(), flags=re.MULTILINE) for path in FOLDER.glob("*.py")
}
SAMPLE = ("pandas_frame", "matplotlib_line", "sympy_algebra", "classes", "async_await", "exceptions")
WHOLE = bool(os.environ.get("SANDBOX_RUNNER_TEST_WHOLE"))
CHOSEN = {
    "docker": sorted(NOTEBOOKS) if WHOLE else SAMPLE[::2],
    "oci": sorted(NOTEBOOKS) if WHOLE else SAMPLE[1::2],
}
LIMITS = Limits(wall_time=250, memory="1g", workspace="256m")
NOT_NEEDED = ("jedi", "parso", "psutil", "colorama")  # for completion, terminals, and Windows
ADDRESS = re.compile(r"0x[0-9a-f]{6,}")

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]


def requirements(name: str, found: dict[str, importlib.metadata.Distribution]) -> None:
    """Fills ``found`` with the distribution and those that it needs, as far as they are there."""
    name = name.lower().replace("_", "-")
    if name in found or name in NOT_NEEDED:
        return
    found[name] = importlib.metadata.distribution(name)
    for line in found[name].requires or ():
        if "extra ==" not in line and "sys_platform ==" not in line:
            requirements(re.match(r"[\w.-]+", line)[0], found)


def ipython() -> bytes:
    """IPython and what it needs, its Python parts, as an archive."""
    found: dict[str, importlib.metadata.Distribution] = {}
    requirements("ipython", found)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for distribution in found.values():
            for path in distribution.files or ():
                used = path.suffix in (".py", ".json", ".txt") or path.name == "METADATA"  # of entry points
                if used and "tests" not in path.parts and ".." not in path.parts:
                    file.write(path.locate(), str(path))
    return archive.getvalue()


@pytest.fixture(params=CHOSEN)
def engine(request) -> str:
    return request.param


@pytest.fixture
def image(request, engine) -> str | None:
    """On Docker one of this checkout, else what setup has made."""
    return f"{request.getfixturevalue('repository')}/python:latest" if engine == "docker" else None


def normal(text: str | None) -> str | None:
    return None if text is None else ADDRESS.sub("0x-", text)


def raised(stderr: str) -> str | None:
    """The name of the exception that a traceback ends with."""
    lines = stderr.splitlines()
    last = max((number for number, line in enumerate(lines) if line.startswith("  File ")), default=None)
    if last is None:
        return None
    told = next(line for line in lines[last + 1 :] if not line.startswith(" "))
    return told.partition(":")[0].rpartition(".")[2]


async def in_ipython(runner: Runner, image: str | None, names: Sequence[str]) -> dict[str, list[dict]]:
    cells = {name: NOTEBOOKS[name] for name in names}
    files = [InputFile("ipython.zip", ipython()), InputFile("notebooks.json", json.dumps(cells).encode())]
    request = RunRequest(
        language="python", code=PAYLOAD.read_text(), files=files, limits=LIMITS, image=image,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    result = await runner.run(request)
    assert result.ok, result.stderr
    return json.loads(result.stdout)


async def in_a_session(runner: Runner, image: str | None, cells: list[str]) -> list[dict]:
    answers = []
    async with runner.session("python", image=image) as session:
        for cell in cells:
            result = await session.run(cell)
            shown = [[display.get("text/plain"), sorted(display)] for display in result.displays]
            answers.append({"stdout": result.stdout, "displays": shown, "error": raised(result.stderr)})
    return answers


def told(answer: dict) -> dict:
    """An answer without addresses, and without a figure that is shown twice in a row."""
    displays = [[normal(text), forms] for text, forms in answer["displays"]]
    once = [
        each
        for number, each in enumerate(displays)
        if not ("image/png" in each[1] and displays[number - 1 : number] == [each])
    ]
    return {**answer, "stdout": normal(answer["stdout"]), "displays": once}


def test_there_are_at_least_50_notebooks():
    assert len(NOTEBOOKS) >= 50


async def test_cells_give_in_a_session_what_they_give_in_ipython(engine, image):
    different = []
    async with Runner.open(Config(engine=engine)) as runner:
        theirs = await in_ipython(runner, image, CHOSEN[engine])
        for name in CHOSEN[engine]:
            ours = await in_a_session(runner, image, NOTEBOOKS[name])
            for cell, own, their in zip(NOTEBOOKS[name], ours, theirs[name], strict=True):
                if told(own) != told(their):
                    different.append((name, cell))
                    print(f"--- {name}", cell, told(own), told(their), sep="\n")
    assert different == []
