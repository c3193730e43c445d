"""The budgets of size and the habits that a machine can check."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "sandbox_runner"
MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = sorted(PACKAGE.rglob("*.[ch]"))
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


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_file_in_c_has_at_most_400_lines_and_a_function_60(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    assert all(len(line) <= 120 for line in text.splitlines())
    assert all(body.count("\n") < 60 for body in re.findall(r"^{$.*?^}$", text, re.MULTILINE | re.DOTALL))


def test_pid_1_compiles_without_a_warning():
    flags = ["-O2", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-D_FORTIFY_SOURCE=2", "-fsyntax-only"]
    subprocess.run(["gcc", *flags, *(path for path in SOURCES if path.suffix == ".c")], check=True)


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
