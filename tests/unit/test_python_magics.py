"""Cells of notebooks have more than Python: what can, works, and the rest says what to do instead."""

import os
import sys
from pathlib import Path

import pytest
from kernels import LocalKernel

KERNEL = Path(__file__).parents[2] / "images/python/kernel.py"


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    env = {**os.environ, "PYTHONPATH": str(KERNEL.parent)}  # for what is imported when a cell needs it
    with LocalKernel([sys.executable, str(KERNEL)], cwd=tmp_path_factory.mktemp("cells"), env=env) as kernel:
        yield kernel


def shown(cell) -> list[str]:
    return [display["data"]["text/plain"] for display in cell.displays]


@pytest.mark.parametrize(
    "line",
    [
        "%matplotlib inline",
        "%load_ext autoreload",
        "%autoreload 2",
        "%config InlineBackend.figure_format = 'svg'",
    ],
)
def test_what_only_prepares_ipython_changes_nothing(kernel, line):
    cell = kernel(f"x = 1\n{line}\nif x:\n    {line}\nx + 1")
    assert (cell.code, cell.stdout, cell.stderr, shown(cell)) == (0, "", "", ["2"])


def test_time_is_told_and_values_and_names_stay(kernel):
    cell = kernel("%time y = 20; z = 1\n%time y + z")
    assert (cell.stdout.count("CPU times: user "), cell.stdout.count("Wall time: ")) == (2, 2)
    assert shown(cell) == ["21"]
    cell = kernel("\n%%time\nprint('ran')\nfor n in range(3):\n    y += n\ny")
    assert (cell.stdout.startswith("ran\nCPU times"), shown(cell)) == (True, ["23"])
    assert kernel("print('no longer')").stdout == "no longer\n"
    assert "ZeroDivisionError" in kernel("%%time\n1 / 0").stderr


def test_timeit_runs_with_the_names_of_the_session(kernel):
    kernel("def twice(n): return 2 * n")
    for code in ("%timeit -n 10 -r 3 twice(4)", "%%timeit -n 10 -r 3 a = 4\ntwice(a)\ntwice(a)"):
        cell = kernel(code)
        assert " per loop (mean ± std. dev. of 3 runs, 10 loops each)\n" in cell.stdout, cell.stderr


def test_a_cell_becomes_a_file(kernel):
    assert kernel("%%writefile notes.py\nx = '%time'\n!not run\n").stdout == "Writing notes.py\n"
    assert kernel("%%writefile -a notes.py\nlast").stdout == "Appending to notes.py\n"
    assert shown(kernel("open('notes.py').read()")) == ["\"x = '%time'\\n!not run\\nlast\""]
    assert kernel("%%writefile 'two words.txt'\nx").stdout == "Writing two words.txt\n"
    assert "name one file" in kernel("%%writefile\nx").stderr


def test_commands_run_in_a_shell(kernel):
    cell = kernel("word = 'two words'\n!echo \"$word\" {1 + 1} $HOSTTYPE_ | cat; exit 3\n_exit_code")
    assert (cell.stdout, shown(cell)) == ("two words 2\n", ["3"])
    cell = kernel(
        "found = !printf 'a\\nb\\n'\nif found:\n    !echo it's not closed 2>/dev/null || echo no\nfound"
    )
    assert shown(cell) == ["['a', 'b']"]
    assert kernel("%%bash\nfor n in 1 2; do echo $n {n}; done").stdout == "1 {n}\n2 {n}\n"
    assert kernel("!awk 'BEGIN {print $1 \"x\"}'").stdout == "x\n"


def test_what_a_cell_prints_is_captured(kernel):
    assert kernel("%%capture taken\nprint('one')\n!echo two").stdout == ""
    assert kernel("print(taken)").stdout == "one\ntwo\n\n"


def test_help_is_told(kernel):
    kernel("def area(r):\n    'Of a circle.'\n    return 3 * r * r")
    for code in ("area?", "?area"):
        assert kernel(code).stdout == "Signature: area(r)\nType: function\nDocstring:\nOf a circle.\n"
    assert "    return 3 * r * r\n" in kernel("area??").stdout
    assert kernel("nothing.here?").stdout == "Object `nothing.here` not found.\n"


def test_the_folder_and_the_variables_are_the_sessions(kernel, tmp_path):
    assert kernel(f"here = %pwd\n%cd {tmp_path}").stdout == f"{tmp_path}\n"
    kernel("import os; os.chdir(here)")
    assert kernel("%env WORD=x\n!echo $WORD").stdout == "env: WORD=x\nx\n"


def test_html_is_shown(kernel):
    [display] = kernel("%%html\n<b>x</b>").displays
    assert display["data"] == {"text/html": "<b>x</b>"}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("!pip install numpy", "packages are named when the session is opened (packages=[…] or --package)"),
        ("%pip install -q numpy", "packages are named when the session is opened"),
        ("!python3 -m pip install x", "packages are named when the session is opened"),
        ("%%bash\napt-get install -y x", "packages are named when the session is opened"),
        ("%run other.py", "use exec(open('file.py').read())"),
        ("%%cython\ncdef int x", "%%cython is a command of IPython, which is not here"),
        ("%store x", "write it in plain Python, or delete the line"),
    ],
)
def test_what_has_no_counterpart_is_refused_before_anything_runs(kernel, code, words):
    cell = kernel(code if code.startswith("%%") else f"print('ran')\n{code}\n")
    assert (cell.code, cell.stdout) == (1, "")
    assert words in cell.stderr
    assert 'File "<cell ' in cell.stderr
    assert "sandbox_runner_magics" not in cell.stderr
    assert "During handling" not in cell.stderr


@pytest.mark.parametrize("code", ["if", "x = (1 %\n", "(a\n % b c)", "what?!", "x = = 1", "%", "!", "%%"])
def test_what_is_no_python_and_nothing_of_ipython_is_a_syntax_error_as_ever(kernel, code):
    cell = kernel(f"print('ran')\n{code}")
    assert (cell.code, cell.stdout) == (1, "")
    assert "SyntaxError" in cell.stderr
    assert "sandbox_runner_magics" not in cell.stderr


def test_python_that_looks_alike_is_python(kernel):
    assert shown(kernel("'''\n%time 1\n!ls\nx?\n'''")) == ["'\\n%time 1\\n!ls\\nx?\\n'"]
    assert shown(kernel("(7\n%2)")) == ["1"]
    assert shown(kernel("text = '''\n%time 1\n'''\n%matplotlib inline\ntext")) == ["'\\n%time 1\\n'"]


def test_errors_have_the_lines_of_the_cell(kernel):
    cell = kernel("%matplotlib inline\n!true\n\n1 / 0")
    assert ", line 4, in <module>\n    1 / 0\n" in cell.stderr
    assert ", line 3, in <module>\n    1 / 0\n" in kernel("\n%%time\n1 / 0").stderr
