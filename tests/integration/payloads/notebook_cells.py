"""Runs the cells of notebooks.json, with `ipython` as argument in IPython, which is in ipython.zip, otherwise
with the image's own displays; prints what each cell gave, as JSON. Each notebook has a process of its own.
"""

import ast
import asyncio
import builtins
import inspect
import io
import json
import os
import sys
import tempfile
import traceback
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType

PACKAGES = "/workspace/packages"
AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def load_ipython():
    """What runs a cell in a shell of IPython, which shows figures as Jupyter does, by the inline backend."""
    zipfile.ZipFile("ipython.zip").extractall(PACKAGES)
    sys.path.insert(0, PACKAGES)
    os.environ["HOME"] = "/workspace"
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    import matplotlib
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.core.pylabtools import select_figure_formats
    from matplotlib_inline.backend_inline import flush_figures
    from traitlets.config import Config

    def begin(shown):
        config = Config()
        config.HistoryManager.enabled = False
        shell = InteractiveShell.instance(config=config)
        shell.displayhook.write_format_data = lambda data, _metadata=None: shown.append(data)
        shell.displayhook.write_output_prompt = shell.displayhook.finish_displayhook = lambda: None
        shell.display_pub.publish = lambda data, _metadata=None, **_more: shown.append(data)
        shell._showtraceback = lambda *_: None
        select_figure_formats(shell, ["png"])
        shell.events.register("post_execute", flush_figures)
        matplotlib.interactive(True)

        def run(cell):
            result = shell.run_cell(cell, store_history=True)
            return result.error_before_exec or result.error_in_exec

        return run

    return begin


def begin_here(shown):
    """What runs a cell as a notebook does, with the image's own displays."""
    import sandbox_runner_display as display

    def show(value):
        if value is not None:
            builtins._ = value
        display.show(value)

    display.connect(lambda line: shown.append(json.loads(line)["data"]))
    builtins.__show__ = show
    module = sys.modules["__main__"] = ModuleType("__main__")
    loop = asyncio.new_event_loop()

    def execute(cell):
        tree = compile(cell, "<cell>", "exec", ast.PyCF_ONLY_AST | AWAIT, dont_inherit=True)
        if not display.ends_silently(cell, tree):
            display.with_last_shown(tree, "__show__")
        result = eval(compile(tree, "<cell>", "exec", AWAIT, dont_inherit=True), vars(module))
        if inspect.iscoroutine(result):
            loop.run_until_complete(result)

    def run(cell):
        display.begin()
        try:
            execute(cell)
        except Exception as error:  # noqa: BLE001 - whatever the cell raises
            return error
        finally:
            figures = sys.modules.get("sandbox_runner_figures")
            if figures:
                figures.FigureManager.pyplot_show()
        return None

    return run


def run_all(begin, cells):
    shown = []
    run = begin(shown)
    answers = []
    for cell in cells:
        shown.clear()
        with redirect_stdout(io.StringIO()) as stdout, redirect_stderr(io.StringIO()):
            error = run(cell)
        displays = [[data.get("text/plain"), sorted(data)] for data in shown]
        name = error and public_name(type(error))
        answers.append({"stdout": stdout.getvalue(), "displays": displays, "error": name})
    return answers


def public_name(kind):
    """IPython compiles a cell so that one which is not complete raises a private kind of SyntaxError."""
    return next(each.__name__ for each in kind.__mro__ if not each.__name__.startswith("_"))


def apart(begin, cells):
    """What `run_all` returns, of a process of its own in a folder of its own."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        with os.fdopen(reader) as file:
            answer = json.load(file)
        os.wait()
        return answer
    try:
        os.chdir(tempfile.mkdtemp(dir="/workspace"))
        with os.fdopen(writer, "w") as file:
            json.dump(run_all(begin, cells), file)
    except BaseException:  # noqa: BLE001 - shown, and then this process ends
        traceback.print_exc()
    finally:
        os._exit(0)


if __name__ == "__main__":
    notebooks = json.loads(Path("notebooks.json").read_text())
    begin = load_ipython() if sys.argv[1:] == ["ipython"] else begin_here
    print(json.dumps({name: apart(begin, cells) for name, cells in notebooks.items()}))
