"""Values as text, as IPython shows them: long lists, dicts and calls are broken over lines.

The layout is that of Ruby's prettyprint, which IPython has as well: text is held back until a line is too
long, then the outermost group that has a place to break is broken at all its places. What a class says by
`_repr_pretty_` is done with the methods that it expects: text, breakable, break_, group, pretty …
"""

import sys
import types
from collections import deque
from contextlib import contextmanager

WIDTH = 79
MOST_MEMBERS = 1000  # of one collection
LONGEST = 1 << 20  # characters of the whole


class TooLong(Exception):
    """The text has `LONGEST` characters."""


def pretty(value):
    """`value` as text. Raises what its own methods raise; text beyond `LONGEST` is left out, and that is said."""
    printer = Printer()
    try:
        printer.pretty(value)
        printer.flush()
    except TooLong:
        return "".join(printer.written)[:LONGEST] + f"… (cut at {LONGEST} characters)"
    return "".join(printer.written)


class Text:
    def __init__(self, text):
        self.pieces = [text]
        self.width = len(text)


class Break:
    def __init__(self, separator, group, indentation):
        self.separator = separator
        self.width = len(separator)
        self.group = group
        self.indentation = indentation


class Group:
    def __init__(self, depth):
        self.depth = depth
        self.breaks = 0  # that are held back
        self.broken = False


class Printer:
    """`column` is where what is written ends, `held` what is held back, `depths` its groups, outermost first."""

    max_width = WIDTH
    max_seq_length = MOST_MEMBERS
    verbose = False
    newline = "\n"

    def __init__(self):
        self.written = []
        self.length = self.column = 0
        self.held = deque()
        self.held_width = 0
        outermost = Group(0)
        self.groups = [outermost]
        self.depths = [[outermost]]
        self.indentation = 0
        self.shown = []  # identities of what is being shown

    # what `_repr_pretty_` calls

    def text(self, text):
        if not self.held:
            self._write(text)
            self.column += len(text)
            return
        if isinstance(self.held[-1], Text):
            self.held[-1].pieces.append(text)
            self.held[-1].width += len(text)
        else:
            self.held.append(Text(text))
        self._hold(len(text))

    def breakable(self, sep=" "):
        group = self.groups[-1]
        if group.broken:
            self.flush()
            self._new_line(self.indentation)
        else:
            group.breaks += 1
            self.held.append(Break(sep, group, self.indentation))
            self._hold(len(sep))

    def break_(self):
        group = self._next_to_break()
        if group:
            self._break(group)
        self.flush()
        self._new_line(self.indentation)

    def begin_group(self, indent=0, open=""):
        if open:
            self.text(open)
        group = Group(self.groups[-1].depth + 1)
        self.groups.append(group)
        while len(self.depths) <= group.depth:
            self.depths.append([])
        self.depths[group.depth].append(group)
        self.indentation += indent

    def end_group(self, dedent=0, close=""):
        self.indentation -= dedent
        group = self.groups.pop()
        if not group.breaks:
            self._forget(group)
        if close:
            self.text(close)

    @contextmanager
    def group(self, indent=0, open="", close=""):
        self.begin_group(indent, open)
        try:
            yield
        finally:
            self.end_group(indent, close)

    @contextmanager
    def indent(self, indent):
        self.indentation += indent
        try:
            yield
        finally:
            self.indentation -= indent

    def flush(self):
        while self.held:
            self._release()
        self.held_width = 0

    def pretty(self, value):
        again = id(value) in self.shown
        self.shown.append(id(value))
        self.begin_group()
        try:
            show = shower(value)
            show(value, self, again)
        finally:
            self.end_group()
            self.shown.pop()

    # the layout

    def _write(self, text):
        self.length += len(text)
        self.written.append(text)
        if self.length > LONGEST:
            raise TooLong

    def _new_line(self, indentation):
        self._write("\n" + " " * indentation)
        self.column = indentation
        self.held_width = 0

    def _hold(self, width):
        self.held_width += width
        while self.column + self.held_width > WIDTH:
            group = self._next_to_break()
            if not group:
                return
            self._break(group)

    def _release(self):
        """Writes the first of what is held back."""
        first = self.held.popleft()
        width = self.held_width - first.width
        if isinstance(first, Text):
            self._write("".join(first.pieces))
            self.column += first.width
        else:
            first.group.breaks -= 1
            if first.group.broken:
                self._new_line(first.indentation)
            else:
                if not first.group.breaks:
                    self._forget(first.group)
                self._write(first.separator)
                self.column += first.width
        self.held_width = width

    def _break(self, group):
        while group.breaks:
            self._release()
        while self.held and isinstance(self.held[0], Text):
            self._release()

    def _next_to_break(self):
        for groups in self.depths:
            for position, group in enumerate(reversed(groups)):
                if group.breaks:
                    del groups[position]  # IPython takes this one of them, too
                    group.broken = True
                    return group
            for group in groups:
                group.broken = True
            groups.clear()
        return None

    def _forget(self, group):
        if group in self.depths[group.depth]:
            self.depths[group.depth].remove(group)

    def members(self, values):
        """Shows them with commas between."""
        for number, value in enumerate(values):
            if number:
                self.text(",")
                self.breakable()
            if number == MOST_MEMBERS:
                self.text("...")
                return
            yield value


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
