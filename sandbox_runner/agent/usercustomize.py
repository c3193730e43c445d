"""Python imports a module of this name as the last step of its start; images link it into Python's path.

In the interpreter that PID 1 has started ahead this waits, all that is common to programs behind it, to be
told what to be (see `pid1/waiting.c`). Told to be the program it lets the import return, and Python does what
it would have done: opens the program's file, runs it in `__main__`, and exits. Nothing of ours is on its
stack. Told to be a session's kernel it is, in the same way, what any `python3` with the kernel's folder is.

In any other Python this does nothing.
"""

import posix
import sys

_BEGIN, _ANSWERS = 62, 63
_CODE, _MESSAGES = 3, 4  # of a kernel
_FORMAT, _PIPE = 0o170000, 0o010000
_LONGEST = 4096  # bytes of the names of modules
PROGRAM = ["main.py"]  # the arguments of Python's in images/python/language.toml
KERNEL = "/usr/lib/sandbox-runner/kernel"  # and those of its kernel


def _wait() -> None:
    told = posix.read(_BEGIN, 1)  # no more: what follows may be the kernel's
    while told > b"\1":
        posix.write(_ANSWERS, _load((told + posix.read(_BEGIN, _LONGEST)).decode().split()).encode())
        told = posix.read(_BEGIN, 1)
    if told == b"\1":
        _be_the_kernel()
    posix.close(_BEGIN)
    posix.close(_ANSWERS)
    if not told:
        posix._exit(1)


def _be_the_kernel() -> None:
    """Has Python take the program's file for the kernel's folder, and so run what is in that."""
    posix.dup2(_BEGIN, _CODE)
    posix.dup2(_ANSWERS, _MESSAGES)
    sys.path_importer_cache[f"{posix.getcwd()}/{PROGRAM[0]}"] = sys.path_hooks[-1](KERNEL)


def _load(names: list[str]) -> str:
    """Imports the modules; the top-level names that this added, and a blank after each."""
    before = {name.partition(".")[0] for name in sys.modules}
    for name in names:
        try:
            __import__(name)
        except Exception:  # noqa: BLE001, S112 - the program itself meets it, where it imports this
            continue
    added = {name.partition(".")[0] for name in sys.modules} - before
    return " ".join([*sorted(added), "\n"])


def _waits() -> bool:
    """No Python has descriptors of these numbers as it starts, unless it is given them."""
    try:
        pipes = [posix.fstat(number).st_mode & _FORMAT for number in (_BEGIN, _ANSWERS)]
    except OSError:
        return False
    return pipes == [_PIPE, _PIPE] and posix.getppid() == 1


if sys.orig_argv[1:] == PROGRAM and _waits():
    _wait()
