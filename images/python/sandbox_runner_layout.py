"""The layout of text that is too long for a line, as Ruby's prettyprint does it, and IPython after it.

Text is held back until a line is too long; then the outermost group that has a place to break is broken at
all its places. The methods are those that a class's `_repr_pretty_` expects.
"""

from collections import deque
from contextlib import contextmanager

WIDTH = 79
MOST_MEMBERS = 1000  # of one collection
LONGEST = 1 << 20  # characters of the whole


class TooLong(Exception):
    """The text has `LONGEST` characters."""


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
    """`column` is where what is written ends, `held` what is held back, `depths` its groups, outermost first.

    `shower` gives the function that shows a value.
    """

    max_width = WIDTH
    max_seq_length = MOST_MEMBERS
    verbose = False
    newline = "\n"

    def __init__(self, shower):
        self.shower = shower
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
            show = self.shower(value)
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
