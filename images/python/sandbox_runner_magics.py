"""What cells of notebooks have beside Python: `%time`, `%%writefile`, `!ls`, `name?`. IPython itself is not here.

Only a cell that Python cannot read is looked at. Such a line becomes a call of this module where it stands,
so that all other lines keep their numbers; what has no counterpart is refused before anything runs.
"""

import linecache
import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

MOST = 100  # lines of a cell
ME = "__import__('sandbox_runner_magics')"

# They prepare IPython for what is so here without them.
_NEEDLESS = frozenset(
    (
        "matplotlib",
        "load_ext",
        "reload_ext",
        "unload_ext",
        "autoreload",
        "config",
        "xmode",
        "colors",
        "precision",
    )
)
_SHELL = frozenset(("ls", "ll", "cat", "cp", "mv", "rm", "mkdir", "rmdir"))
_SHOWN = {
    "html": "text/html", "HTML": "text/html", "markdown": "text/markdown", "latex": "text/latex",
    "svg": "image/svg+xml", "SVG": "image/svg+xml", "javascript": "application/javascript",
    "js": "application/javascript",
}  # fmt: skip
_INSTALLERS = re.compile(
    r"\s*(sudo\s+)?(python[\d.]*\s+-m\s+)?(uv\s+)?(pip[\d.]*|uv|conda|mamba|apt|apt-get|npm|yarn)\s.*\b(install|add|i)\b"
)
_NO_INSTALLING = (
    "there is no network here: packages are named when the session is opened (packages=[…] or --package), "
    "where the operator allows them"
)
_INSTEAD = {
    "run": "use exec(open('file.py').read())",
    "who": "use dir()",
    "whos": "use vars()",
    "reset": "open another session or context",
    "debug": "use breakpoints of your own: nobody can answer a debugger here",
    "pylab": "import numpy and matplotlib.pyplot",
}

_CELL = re.compile(r"\s*%%(!|\w+)[ \t]*([^\n]*)(?:\n|$)")
_LINE = re.compile(r"(\s*)(?:([\w., \[\]'\"]+?)\s*=\s*)?(!!(?=.)|!(?=\s*\S)|%(?=\w))(.*)", re.DOTALL)
_HELP = re.compile(r"(\s*)(?:\?{1,2}\s*([A-Za-z_][\w.]*)|([A-Za-z_][\w.]*)\s*(\?{1,2}))\s*")
_VARIABLE = re.compile(r"\$([A-Za-z_]\w*)|\{([^{}]+)\}")

_until_the_end = ExitStack()


def translated(code, name, compiles):
    """The cell with Python in place of what is none. Raises SyntaxError where the rest is no Python, either."""
    if cell := _CELL.match(code):
        code = _whole(cell[1], cell[2].strip(), code[cell.end() :], code[: cell.end()].count("\n"), name)
    for _ in range(MOST):
        try:
            compiles(code)
        except SyntaxError as error:
            lines = code.split("\n")
            number = min(error.lineno or 1, len(lines)) - 1
            lines[number] = _in_python(lines[number].rstrip("\r"), number + 1, name)
            if not lines[number]:
                raise
            code = "\n".join(lines)
        else:
            break
    return code


def end():
    """The cell is over: what its first line asked for ends with it."""
    _until_the_end.close()


def _whole(magic, text, body, lines, name):
    """A cell whose first line is for all of it, in Python; that line took so many `lines`."""
    above = "\n" * lines
    if magic == "time":
        return f"{ME}.begin('time', ''){above}{body}"
    if magic == "capture":
        return f"{ME}.begin('capture', {text!r}, globals()){above}{body}"
    if magic == "timeit":
        return f"{ME}.timeit({text!r}, globals(), {body!r})"
    if magic in ("writefile", "file"):
        return f"{ME}.write({text!r}, {body!r})"
    if magic in ("bash", "sh", "!", "sx", "system"):
        _refuse_installing(body, name, 1)
        return f"{ME}.shell({body!r}, {{}})"
    if magic in _SHOWN:
        return (
            f"import sandbox_runner_display; sandbox_runner_display.publish({{{_SHOWN[magic]!r}: {body!r}}})"
        )
    raise _unknown(f"%%{magic}", name, 1)


def _in_python(line, number, name):
    """The line in Python; empty where it has nothing of IPython."""
    if found := _HELP.fullmatch(line):
        indent, before, after, marks = found.groups()
        source = marks == "??" or line.strip().startswith("??")
        return f"{indent}{ME}.describe({before or after!r}, {source}, globals())"
    found = _LINE.fullmatch(line)
    if not found:
        return ""
    indent, target, sign, text = found.groups()
    if sign == "%":
        magic, _, text = text.partition(" ")
        python = _magic(magic, text.strip(), bool(target), number, name)
    else:
        _refuse_installing(text, name, number)
        keeps = bool(target) or sign == "!!"
        python = f"{ME}.{'lines' if keeps else 'shell'}({text!r}, globals())"
    return f"{indent}{target} = {python}" if target else indent + python


def _magic(magic, text, has_target, number, name):
    if magic in _NEEDLESS:
        return "None" if has_target else "pass"
    if magic == "time":
        return _timed(text, has_target)
    if magic == "timeit":
        return f"{ME}.timeit({text!r}, globals())"
    if magic in ("cd", "pwd", "env", "set_env"):
        return f"{ME}.{magic}({text!r}, globals())"
    if magic in ("sx", "system"):
        return f"{ME}.lines({text!r}, globals())"
    if magic in _SHELL:
        return f"{ME}.shell({f'{magic} {text}'!r}, globals())"
    _refuse_installing(f"{magic} {text}", name, number)
    raise _unknown(f"%{magic}", name, number)


def _timed(text, has_target):
    """An expression keeps its value; statements are timed where they stand, and so what they set is set."""
    try:
        compile(text, "", "eval", dont_inherit=True)
    except (SyntaxError, ValueError):
        if not has_target:
            return f"with {ME}.timed(): {text}"
    return f"{ME}.time_of(lambda: ({text}))"


def _refuse_installing(command, name, number):
    if _INSTALLERS.match(command):
        raise _refusal(f"nothing can be installed from within: {_NO_INSTALLING}", name, number)


def _unknown(magic, name, number):
    instead = _INSTEAD.get(magic.lstrip("%"), "write it in plain Python, or delete the line")
    return _refusal(f"{magic} is a command of IPython, which is not here: {instead}", name, number)


def _refusal(message, name, number):
    return SyntaxError(message, (name, number, None, linecache.getline(name, number)))


# What the calls do.


def begin(what, text, namespace=None):
    """From now to the end of the cell."""
    _until_the_end.enter_context(timed() if what == "time" else _captured(text, namespace))


@contextmanager
def timed():
    """Prints the time that passes within."""
    before, wall = os.times(), time.perf_counter()
    try:
        yield
    finally:
        wall, after = time.perf_counter() - wall, os.times()
        user = after.user - before.user + after.children_user - before.children_user
        system = after.system - before.system + after.children_system - before.children_system
        print(f"CPU times: user {_shown(user)}, sys: {_shown(system)}, total: {_shown(user + system)}")
        print(f"Wall time: {_shown(wall)}")


def time_of(function):
    """What it returns."""
    with timed():
        return function()


def timeit(text, namespace, body=None):
    """Prints how long a statement takes."""
    from statistics import fmean, pstdev
    from timeit import Timer

    options = re.match(r"((?:-[a-zA-Z]\s*\w*\s+)*)(.*)", text + " ", re.DOTALL)
    chosen = dict(re.findall(r"-([nr])\s*(\d+)", options[1]))
    statement, setup = (options[2].strip(), "pass") if body is None else (body, options[2].strip() or "pass")
    timer = Timer(statement, setup, globals=namespace)
    loops = int(chosen.get("n", 0)) or timer.autorange()[0]
    runs = int(chosen.get("r", 0)) or 7
    each = [took / loops for took in timer.repeat(runs, loops)]
    print(
        f"{_shown(fmean(each))} ± {_shown(pstdev(each))} per loop (mean ± std. dev. of {runs} "
        f"run{'s' * (runs != 1)}, {loops:,} loop{'s' * (loops != 1)} each)"
    )


def write(text, body):
    """Writes, or with -a appends to, a file."""
    import shlex

    words = shlex.split(text)
    mode = "a" if "-a" in words or "--append" in words else "w"
    names = [word for word in words if word not in ("-a", "--append")]
    if len(names) != 1:
        raise ValueError("name one file, such as %%writefile notes.txt")
    path = os.path.expanduser(names[0])
    print(f"{'Appending to' if mode == 'a' else 'Overwriting' if os.path.exists(path) else 'Writing'} {path}")
    with open(path, mode, encoding="utf-8") as file:
        file.write(body)


def shell(command, namespace):
    """Runs it with bash, and passes on what it prints."""
    sys.stdout.flush()
    taken = None if sys.stdout is sys.__stdout__ else subprocess.PIPE
    done = subprocess.run(
        ["bash", "-c", _expanded(command, namespace)], stdout=taken, stderr=taken and subprocess.STDOUT
    )
    if taken:
        sys.stdout.write(done.stdout.decode(errors="replace"))
    namespace["_exit_code"] = done.returncode


def lines(command, namespace):
    """Runs it with bash; the lines that it prints."""
    done = subprocess.run(["bash", "-c", _expanded(command, namespace)], stdout=subprocess.PIPE)
    namespace["_exit_code"] = done.returncode
    return done.stdout.decode(errors="replace").splitlines()


def cd(text, _):
    os.chdir(os.path.expanduser(text.strip("'\"") or "~"))
    print(os.getcwd())


def pwd(_, __):
    return os.getcwd()


def env(text, namespace):
    name, _, value = text.partition("=") if "=" in text else text.partition(" ")
    if not name:
        return dict(os.environ)
    if not value:
        return os.environ.get(name.strip())
    os.environ[name.strip()] = _expanded(value.strip(), namespace)
    print(f"env: {name.strip()}={os.environ[name.strip()]}")


set_env = env


def describe(name, source, namespace):
    """Prints what there is to know of an object."""
    import inspect

    try:
        value = eval(name, namespace)
    except (NameError, AttributeError):
        print(f"Object `{name}` not found.")
        return
    try:
        print(f"Signature: {name}{inspect.signature(value)}")
    except (TypeError, ValueError):
        print(f"Value: {str(value)[:200]}")
    print(f"Type: {type(value).__name__}")
    try:
        text = source and inspect.getsource(value)
    except (TypeError, OSError):
        text = None
    print(f"Source:\n{text}" if text else f"Docstring:\n{inspect.getdoc(value) or '<no docstring>'}")


@contextmanager
def _captured(name, namespace):
    from io import StringIO

    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            yield
        finally:
            if name:
                namespace[name] = Captured(out.getvalue(), err.getvalue())


class Captured:
    """What a cell with %%capture printed."""

    def __init__(self, stdout, stderr):
        self.stdout, self.stderr = stdout, stderr

    def __str__(self):
        return self.stdout

    def show(self):
        sys.stdout.write(self.stdout)
        sys.stderr.write(self.stderr)


def _expanded(command, namespace):
    """With Python's variables in place of `$name` and `{expression}`, where there are such."""

    def value(found):
        try:
            return str(namespace[found[1]] if found[1] else eval(found[2], namespace))
        except Exception:
            return found[0]

    return _VARIABLE.sub(value, command) if namespace else command


def _shown(seconds):
    for unit, factor in (("s", 1), ("ms", 1e3), ("μs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
