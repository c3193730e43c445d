"""Runs the cells of notebooks.json in IPython, from ipython.zip; prints what each gave, as JSON.

Each notebook has a process of its own. IPython shows a figure as Jupyter does, by the inline backend.
"""

import io
import json
import os
import sys
import tempfile
import traceback
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

PACKAGES = "/workspace/packages"
zipfile.ZipFile("ipython.zip").extractall(PACKAGES)
sys.path.insert(0, PACKAGES)
os.environ["HOME"] = "/workspace"
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"

import matplotlib  # noqa: E402
from IPython.core.interactiveshell import InteractiveShell  # noqa: E402
from IPython.core.pylabtools import select_figure_formats  # noqa: E402
from matplotlib_inline.backend_inline import flush_figures  # noqa: E402
from traitlets.config import Config  # noqa: E402


def run_all(cells):
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    shown = []
    shell.displayhook.write_format_data = lambda data, _metadata=None: shown.append(data)
    shell.displayhook.write_output_prompt = shell.displayhook.finish_displayhook = lambda: None
    shell.display_pub.publish = lambda data, _metadata=None, **_more: shown.append(data)
    shell._showtraceback = lambda *_: None
    select_figure_formats(shell, ["png"])
    shell.events.register("post_execute", flush_figures)
    matplotlib.interactive(True)
    return [run(shell, cell, shown) for cell in cells]


def run(shell, cell, shown):
    shown.clear()
    with redirect_stdout(io.StringIO()) as stdout, redirect_stderr(io.StringIO()):
        result = shell.run_cell(cell, store_history=True)
    error = result.error_before_exec or result.error_in_exec
    displays = [[data.get("text/plain"), sorted(data)] for data in shown]
    return {"stdout": stdout.getvalue(), "displays": displays, "error": error and public_name(type(error))}


def public_name(kind):
    """IPython compiles a cell so that one which is not complete raises a private kind of SyntaxError."""
    return next(each.__name__ for each in kind.__mro__ if not each.__name__.startswith("_"))


def apart(cells):
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
            json.dump(run_all(cells), file)
    except BaseException:  # noqa: BLE001 - shown, and then this process ends
        traceback.print_exc()
    finally:
        os._exit(0)


notebooks = json.loads(Path("notebooks.json").read_text())
print(json.dumps({name: apart(cells) for name, cells in notebooks.items()}))
