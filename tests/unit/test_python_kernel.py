"""The kernel of Python's sessions, with the Python of this machine."""

import os
import sys
from pathlib import Path

import pytest
from kernels import LocalKernel

KERNEL = Path(__file__).parents[2] / "images/python/kernel.py"


@pytest.fixture
def kernel(tmp_path):
    env = {**os.environ, "PYTHONPATH": str(KERNEL.parent)}  # for what is imported when a cell needs it
    with LocalKernel([sys.executable, str(KERNEL)], cwd=tmp_path, env=env) as kernel:
        yield kernel


def shown(cell) -> list[str]:
    return [display["data"]["text/plain"] for display in cell.displays]


def test_a_cell_finds_what_the_one_before_left(kernel):
    assert kernel("import math\ndef f(x): return x + 1\ny = 41").code == 0
    cell = kernel("print(f(y))\nmath.floor(2.5)")
    assert (cell.code, cell.stdout, shown(cell)) == (0, "42\n", ["2"])
    assert shown(kernel("_ + 1")) == ["3"]


def test_the_last_value_is_shown_unless_it_is_none_or_not_wanted(kernel):
    assert shown(kernel("1; 2")) == ["2"]
    assert (
        shown(kernel("None")) == shown(kernel("3;")) == shown(kernel("x = 4")) == shown(kernel("# 5")) == []
    )


def test_it_is_main_and_classes_can_be_pickled(kernel):
    cell = kernel("import pickle\nclass A: pass\n__name__, type(pickle.loads(pickle.dumps(A()))) is A")
    assert shown(cell) == ["('__main__', True)"]
    assert shown(kernel("sorted(n for n in globals() if not n.startswith('__'))")) == ["['A', 'pickle']"]


def test_an_exception_is_shown_without_the_frames_of_the_kernel(kernel):
    kernel("def f():\n    return 1 / 0")
    cell = kernel("x = 1\nf()")
    assert cell.code == 1
    assert [line for line in cell.stderr.splitlines() if "~" not in line] == [
        "Traceback (most recent call last):",
        '  File "<cell 2>", line 2, in <module>',
        "    f()",
        '  File "<cell 1>", line 2, in f',
        "    return 1 / 0",
        "ZeroDivisionError: division by zero",
    ]
    assert shown(kernel("x")) == ["1"]


def test_a_syntax_error_runs_nothing(kernel):
    cell = kernel("print('ran')\nif")
    assert (cell.code, cell.stdout) == (1, "")
    assert cell.stderr.endswith("SyntaxError: invalid syntax\n")
    assert "kernel.py" not in cell.stderr


def test_await_works_at_the_top_and_tasks_go_on_in_the_next_cell(kernel):
    assert shown(kernel("import asyncio\nawait asyncio.sleep(0)\nevent = asyncio.Event()\n5")) == ["5"]
    kernel("async def wait():\n    await event.wait()\n    print('set')")
    kernel("async def start():\n    return asyncio.create_task(wait())\ntask = await start()")
    assert kernel("event.set()\nawait task").stdout == "set\n"


@pytest.mark.parametrize(
    "code",
    [
        "print('up', flush=True)\nwhile True: pass",
        "import time; print('up', flush=True); time.sleep(1000)",
        "import asyncio; print('up', flush=True); await asyncio.sleep(1000)",
        "import subprocess; print('up', flush=True); subprocess.run(['sleep', '1000'])",
    ],
)
def test_an_interrupt_keeps_the_state(kernel, code):
    kernel("x = 1")
    cell = kernel(code, interrupt_at=b"up")
    assert cell.code == 130
    assert cell.stderr.endswith("KeyboardInterrupt\n")
    assert shown(kernel("x")) == ["1"]


def test_an_exit_ends_the_cell_alone(kernel):
    assert kernel("import sys; sys.exit(7)").code == 7
    assert kernel("exit()").code == 0
    cell = kernel("sys.exit('no')")
    assert (cell.code, cell.stderr) == (1, "no\n")
    assert kernel("1").code == 0


def test_a_fork_that_comes_to_the_end_of_the_cell_is_not_a_second_kernel(kernel):
    cell = kernel("import os\nif os.fork():\n    os.wait()\nos.getppid() != 0")
    assert (cell.code, shown(cell)) == (0, ["True", "True"])
    assert kernel("1").code == 0


def test_its_end_is_told_by_its_descriptor(kernel):
    assert kernel("import os; print('bye', flush=True); os._exit(3)").code is None
    assert kernel.process.wait() == 3


def test_what_a_cell_does_to_its_streams_harms_no_later_one(kernel):
    kernel("import sys\nclass Bad:\n    def flush(self): raise SystemExit\nsys.stdout = Bad()")
    assert kernel("sys.stdout = sys.__stdout__\nprint('back')").stdout == "back\n"
    cell = kernel("sys.excepthook = 5\n1/0")
    assert cell.code == 1
    cell = kernel("class R:\n    def __repr__(self): raise ValueError('no')\nR()")
    assert (cell.code, shown(cell)) == (0, ["<R that cannot be shown: ValueError: no>"])
    assert kernel("2").code == 0


def test_input_reads_the_cells_stdin(kernel):
    assert kernel("input()", stdin=b"one\n").displays[0]["data"]["text/plain"] == "'one'"
