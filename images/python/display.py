"""Runs a program, and displays the value of its last expression: python3 display.py PROGRAM [ARG]…

Each display is a line of JSON on descriptor 4; see `sandbox_runner_display`. What the program prints is its
own, it runs as `__main__`, and how it ends is how `python3 PROGRAM` would.
"""

import ast  # now, as are the others: later the program's folder comes first on the path
import builtins
import os
import sys
from types import ModuleType

import sandbox_runner_display
from sandbox_runner_display import ends_silently, with_last_shown

GIVEN, DISPLAYED = 3, 4
SHOW = "__sandbox_runner_show__"


def send(line):
    try:
        os.write(DISPLAYED, line)
    except OSError as error:
        print(
            f"A display could not be given back, as descriptor {DISPLAYED} was closed: {error}",
            file=sys.stderr,
        )


def load(path):
    """The program's code, with its last expression shown."""
    with open(path, "rb") as file:
        source = file.read()
    tree = compile(source, path, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    if not ends_silently(source.decode(errors="replace"), tree):
        with_last_shown(tree, SHOW)
    return compile(tree, path, "exec", dont_inherit=True)


def show_as_theirs(kind, error, trace):
    """Without the frames of this file."""
    theirs = trace
    while trace:
        if trace.tb_frame.f_code.co_filename == OURS:
            theirs = trace.tb_next
        trace = trace.tb_next
    error.__traceback__ = theirs
    sys.__excepthook__(kind, error, theirs)


def main():
    os.close(GIVEN)
    os.set_inheritable(DISPLAYED, False)
    sandbox_runner_display.connect(send)
    setattr(builtins, SHOW, sandbox_runner_display.show)
    del sys.argv[0]
    path = os.path.abspath(sys.argv[0])
    sys.path[0] = os.path.dirname(path)
    sys.excepthook = show_as_theirs
    module = sys.modules["__main__"] = ModuleType("__main__")
    module.__file__ = path
    module.__builtins__ = builtins
    exec(load(path), vars(module))


OURS = __file__
if __name__ == "__main__":
    main()
