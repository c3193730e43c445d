"""The kernel of Python's sessions: runs one cell after another in one `__main__`. See `agent/kernel.py`.

A cell is compiled as a module, and may await at its top. The value of its last expression is displayed, as
are the figures that it leaves open; see `sandbox_runner_display`. What it raises is shown as Python shows it,
without the frames of this file. A cell that calls sys.exit() ends with that code, and only the cell.
"""

import builtins
import linecache
import os
import signal
import sys
import threading
from types import ModuleType

import _ast
import sandbox_runner_display

CODE, MESSAGES = 3, 4
ONLY_AST, TOP_LEVEL_AWAIT = 0x0400, 0x2000  # PyCF_ONLY_AST, PyCF_ALLOW_TOP_LEVEL_AWAIT
COROUTINE = 0x80  # CO_COROUTINE
INTERRUPTED = 128 + signal.SIGINT

process = os.getpid()
namespace = {}
sending = threading.Lock()
job = 0
cells = 0
running = False
loop = None


def send(message):
    view = memoryview(message)
    while view:
        view = view[os.write(MESSAGES, view) :]


def send_display(line):
    """Sends a display: a line of JSON, without its end."""
    line = line.rstrip(b"\n")
    with sending:
        send(b"show %d %d\n" % (job, len(line)) + line)


def display(value):
    builtins._ = value
    sandbox_runner_display.display(value)


def show_figures():
    """Displays the figures of matplotlib that the cell leaves open, and closes them."""
    figures = sys.modules.get("sandbox_runner_figures")
    if figures:
        figures.FigureManager.pyplot_show()


def end_magics():
    """Ends what the cell's first line asked for, such as %%time."""
    magics = sys.modules.get("sandbox_runner_magics")
    if magics:
        magics.end()


def on_interrupt(number, frame):
    if running:
        raise KeyboardInterrupt


def parsed(code, name):
    """The cell as Python, and its tree. What notebooks have besides Python is looked for where Python fails."""

    def parse(code):
        return compile(code, name, "exec", ONLY_AST | TOP_LEVEL_AWAIT, dont_inherit=True)

    try:
        return code, parse(code)
    except SyntaxError:
        pass
    from sandbox_runner_magics import translated

    try:
        code = translated(code, name, parse)
        return code, parse(code)
    except SyntaxError as error:
        raise error.with_traceback(None) from None


def compiled(code, name):
    """The cell as code objects: of its statements, and of the expression that it ends with, if any."""
    code, tree = parsed(code, name)
    shown = None
    if (
        tree.body
        and isinstance(tree.body[-1], _ast.Expr)
        and not sandbox_runner_display.ends_silently(code, tree)
    ):
        shown = _ast.Expression(tree.body.pop().value)
    parts = [(compile(tree, name, "exec", TOP_LEVEL_AWAIT, dont_inherit=True), False)]
    if shown is not None:
        parts.append((compile(shown, name, "eval", TOP_LEVEL_AWAIT, dont_inherit=True), True))
    return parts


def evaluated(part):
    result = eval(part, namespace)
    return wait_for(result) if part.co_flags & COROUTINE else result


def wait_for(coroutine):
    """What it returns. The loop is the same for all cells, so that tasks of one go on in the next."""
    global loop
    import asyncio

    if loop is None or loop.is_closed():
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
    task = loop.create_task(coroutine)
    try:
        return loop.run_until_complete(task)
    except KeyboardInterrupt:
        task.cancel()
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass
        raise


def run(code):
    """The exit code of the cell."""
    global cells, running
    cells += 1
    sandbox_runner_display.begin()
    name = f"<cell {cells}>"
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    try:
        try:
            running = True
            for part, is_shown in compiled(code, name):
                value = evaluated(part)
                if is_shown and value is not None:
                    display(value)
            return 0
        finally:
            try:
                end_magics()
                show_figures()
            finally:
                running = False
    except SystemExit as error:
        return exit_code(error.code)
    except BaseException as error:
        tell(error)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1


def exit_code(code):
    if code is None or isinstance(code, int):
        return int(code or 0) & 0xFF
    print(code, file=sys.stderr)
    return 1


def tell(error):
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    error.__traceback__ = trace
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    if sys.excepthook is not sys.__excepthook__:
        sys.excepthook(type(error), error, trace)
        return
    import traceback

    traceback.print_exception(type(error), error, trace)


def survive(code):
    """As run, whatever the cell does to what it shares with this file."""
    try:
        status = run(code)
    except BaseException:  # its own exception hook, or a second interrupt
        status = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass
    return status


def main():
    global job, namespace
    for descriptor in (CODE, MESSAGES):
        os.set_inheritable(descriptor, False)
    sandbox_runner_display.connect(send_display)
    module = ModuleType("__main__")
    module.__builtins__ = builtins
    sys.modules["__main__"] = module
    namespace = vars(module)
    sys.argv = [""]
    sys.path_importer_cache.pop(sys.path[0], None)  # where it was found: no cell looks there
    sys.path[0] = ""
    signal.signal(signal.SIGINT, on_interrupt)
    cells_to_run = open(CODE, "rb")
    while line := cells_to_run.readline():
        _, number, length = line.split()
        job = int(number)
        code = cells_to_run.read(int(length)).decode()
        sys.stdin = open(
            0, encoding="utf-8", errors="surrogateescape", closefd=False
        )  # nothing is read ahead
        status = survive(code)
        if os.getpid() != process:
            os._exit(status)  # a fork of the cell that has come to its end
        with sending:
            send(b"done %d %d\n" % (job, status))


if __name__ == "__main__":
    main()
