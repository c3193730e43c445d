"""Cells give what they give in IPython: the same output, values, forms of them, and exceptions.

IPython runs them in a container of the same image, beside the same packages. Six notebooks are run; with
SANDBOX_RUNNER_TEST_WHOLE_CORPUS=1 in the environment all are.
"""

import importlib.metadata
import io
import json
import os
import re
import zipfile
from pathlib import Path

import pytest

from sandbox_runner import InputFile, Limits, run

FOLDER = Path(__file__).parents[1] / "notebooks"
PAYLOAD = Path(__file__).parent / "payloads" / "notebook_cells.py"
NOTEBOOKS = {
    path.stem: re.split(r"^# %%\n", path.read_text(), flags=re.MULTILINE) for path in FOLDER.glob("*.py")
}
SAMPLE = ("pandas_frame", "matplotlib_line", "sympy_algebra", "classes", "async_await", "exceptions")
CHOSEN = sorted(NOTEBOOKS) if os.environ.get("SANDBOX_RUNNER_TEST_WHOLE_CORPUS") else SAMPLE
LIMITS = Limits(wall_time=250, memory="1g", workspace="256m")
NOT_NEEDED = ("jedi", "parso", "psutil", "colorama")  # for completion, terminals, and Windows
ADDRESS = re.compile(r"0x[0-9a-f]{6,}")

pytestmark = pytest.mark.timeout(600)


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


def normal(text: str | None) -> str | None:
    return None if text is None else ADDRESS.sub("0x-", text)


def run_cells(image: str, *args: str, files: tuple[InputFile, ...] = ()) -> dict[str, list[dict]]:
    cells = {name: NOTEBOOKS[name] for name in CHOSEN}
    given = (*files, InputFile("notebooks.json", json.dumps(cells).encode()))
    result = run(PAYLOAD.read_text(), args=args, files=given, limits=LIMITS, image=image)
    assert result.ok, result.stderr
    return json.loads(result.stdout)


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


def test_cells_give_here_what_they_give_in_ipython(repository):
    image = f"{repository}/python:latest"
    ours = run_cells(image)
    theirs = run_cells(image, "ipython", files=(InputFile("ipython.zip", ipython()),))
    different = []
    for name in CHOSEN:
        for cell, own, their in zip(NOTEBOOKS[name], ours[name], theirs[name], strict=True):
            if told(own) != told(their):
                different.append((name, cell))
                print(f"--- {name}", cell, told(own), told(their), sep="\n")
    assert different == []
