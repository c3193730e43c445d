"""The budgets of size and the habits that a machine can check."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "sandbox_runner"
MODULES = sorted(PACKAGE.rglob("*.py"))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def named(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_file_has_at_most_400_lines_and_a_function_60(path):
    assert len(path.read_text().splitlines()) <= 400
    long = [
        n.name for n in ast.walk(tree(path)) if isinstance(n, FUNCTIONS) and n.end_lineno - n.lineno >= 60
    ]
    assert long == []


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_public_functions_and_classes_have_docstrings(path):
    bare = [
        node.name
        for node in tree(path).body
        if isinstance(node, (*FUNCTIONS, ast.ClassDef))
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert bare == []


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_broad_except_gives_its_reason_on_the_line(path):
    lines = path.read_text().splitlines()
    bare = [line for line in lines if re.search(r"except( Base)?Exception\b[^#]*$", line)]
    assert [line for line in bare if "BaseException:" not in line] == []


def test_only_policy_makes_a_container_spec():
    makers = [
        named(path) for path in MODULES if re.search(r"\b(ContainerSpec|Admission)\(", path.read_text())
    ]
    assert makers == ["policy/admission.py", "policy/in_sessions.py"]


def test_importing_the_package_loads_neither_mcp_nor_a_web_framework_nor_the_sdk():
    code = (
        "import sys, sandbox_runner\n"
        "from sandbox_runner import RunRequest, Limits\n"
        "print([m for m in ('mcp', 'starlette', 'uvicorn', 'docker', 'pydantic') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
