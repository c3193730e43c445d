"""Calls the function `execute` of a program: python3 function.py PROGRAM [ARG]…

Its argument is the JSON text on descriptor 3, and what it returns goes to descriptor 4 as JSON. What it
prints is its own: stdout and stderr are as in any run. The program runs as `__main__`, in its folder.
"""

import os
import sys
from types import ModuleType

GIVEN, RETURNED = 3, 4
LONGEST = 1 << 20  # bytes of what is returned


def refuse(sentence):
    print(sentence, file=sys.stderr)
    sys.exit(1)


def load(path):
    """Runs the program, and returns its variables."""
    module = ModuleType("__main__")
    module.__file__ = os.path.abspath(path)
    module.__builtins__ = __builtins__
    sys.modules["__main__"] = module
    sys.path[0] = os.path.dirname(module.__file__)
    with open(path, "rb") as file:
        source = file.read()
    shown_as_theirs(lambda: exec(compile(source, module.__file__, "exec", dont_inherit=True), vars(module)))
    return vars(module)


def shown_as_theirs(call):
    """What `call` returns. An exception is shown without the frames of this file."""
    try:
        return call()
    except Exception as error:
        theirs = trace = error.__traceback__
        while trace:
            if trace.tb_frame.f_code.co_filename == __file__:
                theirs = trace.tb_next
            trace = trace.tb_next
        error.__traceback__ = theirs
        sys.excepthook(type(error), error, theirs)
        sys.exit(1)


def given():
    import json

    for descriptor in (GIVEN, RETURNED):
        os.set_inheritable(descriptor, False)
    with open(GIVEN, "rb") as file:
        try:
            return json.loads(file.read())
        except (ValueError, RecursionError) as error:
            refuse(f"The input is not JSON: {error}")


def call(execute, value):
    result = execute(value)
    if hasattr(type(result), "__await__"):
        import asyncio

        async def wait():
            return await result

        result = asyncio.run(wait())
    return result


def give_back(result):
    import json

    try:
        text = json.dumps(result, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        refuse(
            f"What execute() returned cannot be written as JSON: {error}. "
            "Return only dicts, lists, texts, finite numbers, booleans and None."
        )
    if len(text) > LONGEST:
        refuse(
            f"What execute() returned has {len(text)} bytes as JSON, more than {LONGEST}; "
            "return less, or write it to a file."
        )
    try:
        with open(RETURNED, "wb") as file:
            file.write(text)
    except OSError as error:
        refuse(
            f"What execute() returned could not be given back, as descriptor {RETURNED} was closed: {error}"
        )


def main():
    del sys.argv[0]
    value = given()
    execute = load(sys.argv[0]).get("execute")
    if not callable(execute):
        refuse(
            "The code defines no function execute(input); define one that takes the input and returns a result."
        )
    result = shown_as_theirs(lambda: call(execute, value))
    give_back(result)


if __name__ == "__main__":
    main()
