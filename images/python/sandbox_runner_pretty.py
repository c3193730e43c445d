"""Values as text, as IPython shows them: long lists, dicts and calls are broken over lines."""

import sys
import types

from sandbox_runner_layout import LONGEST, MOST_MEMBERS, Printer, TooLong


def pretty(value):
    """`value` as text. Raises what its own methods raise; text beyond `LONGEST` is left out, and that is said."""
    printer = Printer(shower)
    try:
        printer.pretty(value)
        printer.flush()
    except TooLong:
        return "".join(printer.written)[:LONGEST] + f"… (cut at {LONGEST} characters)"
    return "".join(printer.written)


def shower(value):
    """The function that shows `value`: of its class or the first base that has one, else its repr."""
    if value is None or value is True or value is False or value is ... or value is NotImplemented:
        return show_repr
    kind = get(value, "__class__") or type(value)
    for base in get(kind, "__mro__") or type(value).__mro__:
        if base in BY_TYPE:
            return BY_TYPE[base]
        if (base.__module__, base.__name__) in BY_NAME:
            return BY_NAME[base.__module__, base.__name__]
        if "_repr_pretty_" in base.__dict__ and callable(base._repr_pretty_):
            return base._repr_pretty_
        if base is not object and "__repr__" in base.__dict__ and callable(get(base, "__repr__")):
            return show_repr
    return show_default


def get(value, name):
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def show_repr(value, printer, _again):
    printer.begin_group()
    for number, line in enumerate(repr(value).splitlines()):
        if number:
            printer.break_()
        printer.text(line)
    printer.end_group()


def show_default(value, printer, again):
    kind = get(value, "__class__") or type(value)
    if get(kind, "__repr__") is not object.__repr__:
        show_repr(value, printer, again)
        return
    printer.begin_group(1, "<")
    printer.pretty(kind)
    printer.text(" at 0x%x" % id(value))
    if again:
        printer.text(" ...")
    printer.end_group(1, ">")


def sequence(start, end):
    def show(value, printer, again):
        if again:
            printer.text(f"{start}...{end}")
            return
        printer.begin_group(len(start), start)
        for member in printer.members(value):
            printer.pretty(member)
        if len(value) == 1 and isinstance(value, tuple):
            printer.text(",")
        printer.end_group(len(start), end)

    return show


def unordered(start, end):
    def show(value, printer, again):
        if again:
            printer.text(f"{start}...{end}")
        elif not len(value):
            printer.text(f"{type(value).__name__}()")
        else:
            printer.begin_group(len(start), start)
            for member in printer.members(in_order(value) if len(value) < MOST_MEMBERS else value):
                printer.pretty(member)
            printer.end_group(len(start), end)

    return show


def in_order(values):
    values = list(values)
    for key in (None, str):
        try:
            return sorted(values, key=key)
        except Exception:
            continue
    return values


def mapping(start, end):
    def show(value, printer, again):
        if again:
            printer.text("{...}")
            return
        printer.begin_group(len(start), start)
        for key in printer.members(value.keys()):
            printer.pretty(key)
            printer.text(": ")
            printer.pretty(value[key])
        printer.end_group(len(start), end)

    return show


def show_call(printer, name, *arguments, **named):
    """`name(argument, …, name=argument)`."""
    printer.begin_group()
    printer.begin_group(len(name) + 1, name + "(")
    for argument in printer.members([*((None, each) for each in arguments), *named.items()]):
        if argument[0] is None:
            printer.pretty(argument[1])
        else:
            with printer.group(len(argument[0]) + 1, argument[0] + "="):
                printer.pretty(argument[1])
    printer.end_group(len(name) + 1, ")")
    printer.end_group()


class Verbatim:
    """Text that is shown as it is."""

    def __init__(self, text):
        self.content = text

    def _repr_pretty_(self, printer, _again):
        printer.text(self.content)


def called(arguments_of):
    """Shows a value as a call of its class, with what `arguments_of` makes of it."""

    def show(value, printer, again):
        arguments, named = ((Verbatim("..."),), {}) if again else arguments_of(value)
        show_call(printer, type(value).__name__, *arguments, **named)

    return show


def show_namespace(value, printer, again):
    if again:
        show_call(printer, "namespace", Verbatim("..."))
    else:
        show_call(printer, "namespace", **value.__dict__)


def show_pattern(value, printer, _again):
    names = ("IGNORECASE", "LOCALE", "MULTILINE", "DOTALL", "UNICODE", "VERBOSE", "DEBUG")
    re = sys.modules["re"]
    flags = "|".join(f"re.{name}" for name in names if value.flags & getattr(re, name))
    raw = Verbatim("r" + repr(value.pattern).replace("\\\\", "\\"))
    show_call(printer, "re.compile", raw, *([Verbatim(flags)] if value.flags else []))


def show_type(value, printer, again):
    own = next((base for base in type(value).__mro__ if "__repr__" in vars(base)), type)
    if own is not type:
        show_repr(value, printer, again)
        return
    module, name = get(value, "__module__"), get(value, "__qualname__")
    name = name if isinstance(name, str) else value.__name__
    printer.text(name if module in (None, "builtins") else f"{module}.{name}")


def show_function(value, printer, _again):
    from inspect import signature

    name = get(value, "__qualname__") or value.__name__
    if value.__module__ and value.__module__ != "builtins":
        name = f"{value.__module__}.{name}"
    try:
        name += str(signature(value))
    except ValueError:
        pass
    printer.text(f"<function {name}>")


def show_exception(value, printer, _again):
    kind = value.__class__
    name = get(kind, "__qualname__") or kind.__name__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    show_call(printer, name, *(get(value, "args") or ()))


def show_super(value, printer, _again):
    printer.begin_group(8, "<super: ")
    printer.pretty(value.__thisclass__)
    printer.text(",")
    printer.breakable()
    printer.pretty(value.__self__)
    printer.end_group(8, ">")


BY_TYPE = {
    **dict.fromkeys((int, float, str, bytes, range, slice, types.MethodType), show_repr),
    tuple: sequence("(", ")"),
    list: sequence("[", "]"),
    dict: mapping("{", "}"),
    set: unordered("{", "}"),
    frozenset: unordered("frozenset({", "})"),
    types.MappingProxyType: mapping("mappingproxy({", "})"),
    types.SimpleNamespace: show_namespace,
    types.FunctionType: show_function,
    types.BuiltinFunctionType: show_function,
    type: show_type,
    super: show_super,
    BaseException: show_exception,
}
# By their names: a program that does not use them need not load them.
BY_NAME = {
    ("re", "Pattern"): show_pattern,
    ("os", "_Environ"): mapping("environ{", "}"),
    ("collections", "defaultdict"): called(lambda value: ((value.default_factory, dict(value)), {})),
    ("collections", "OrderedDict"): called(lambda value: ((list(value.items()),) if value else (), {})),
    ("collections", "Counter"): called(lambda value: ((dict(value.most_common()),) if value else (), {})),
    ("collections", "UserList"): called(lambda value: ((value.data,), {})),
    ("collections", "deque"): called(
        lambda value: ((list(value),), {} if value.maxlen is None else {"maxlen": value.maxlen})
    ),
}
