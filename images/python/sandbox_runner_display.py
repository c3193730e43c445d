"""What a value looks like: its forms by MIME type, as IPython makes them, on their way out of the container.

A kernel, or `display.py` for a program, connects it: from then on `display()` is a builtin, figures that are
shown or left open are displays, and each display is one line of JSON. In any other program `display()` prints.
"""

# All of them now: later a program's own folder comes first on the path, and may have modules of these names.
import binascii
import builtins
import io
import json
import sys

from sandbox_runner_pretty import pretty

MOST = (8 << 20) - 4096  # bytes of all displays of one program, or one cell
MOST_DISPLAYS = 1000

_METHODS = {
    "text/html": "_repr_html_",
    "text/markdown": "_repr_markdown_",
    "image/svg+xml": "_repr_svg_",
    "image/png": "_repr_png_",
    "application/pdf": "_repr_pdf_",
    "image/jpeg": "_repr_jpeg_",
    "text/latex": "_repr_latex_",
    "application/json": "_repr_json_",
    "application/javascript": "_repr_javascript_",
}
_CANARY = "_sandbox_runner_has_no_such_method_"
_WORST_ESCAPE = 6  # bytes that JSON makes of one character

_send = None  # takes a line
_left = MOST
_displays_left = MOST_DISPLAYS


def connect(send):
    """Has `send` take each display as a line of bytes. Makes `display` a builtin."""
    global _send
    _send = send
    builtins.display = display
    begin()


def begin():
    """A new cell begins, with the whole room for displays."""
    global _left, _displays_left
    _left, _displays_left = MOST, MOST_DISPLAYS


def connected():
    """Whether displays go anywhere but to stdout."""
    return _send is not None


def show(value):
    """Displays a value, unless it is None; as the last expression of a program or a cell is."""
    if value is not None:
        display(value)
    return value


def display(
    *values, include=None, exclude=None, metadata=None, transient=None, display_id=None, raw=False, **_
):
    """Shows values as a notebook does. With `raw` they are forms already: a dict by MIME type."""
    for value in values:
        if not raw and _shows_itself(value):
            continue
        forms = dict(value) if raw else bundle(value)
        forms = {
            mime_type: form
            for mime_type, form in forms.items()
            if raw or ((not include or mime_type in include) and mime_type not in (exclude or ()))
        }
        if forms:
            publish(forms)
    return Handle(display_id) if display_id else None


class Handle:
    """What `display(…, display_id=…)` returns: here an update is shown beside what it updates."""

    def __init__(self, display_id):
        self.display_id = "1" if display_id is True else display_id

    def display(self, value, **options):
        display(value, **options)

    update = display


def publish(forms):
    """Sends forms by MIME type; binary ones may be bytes. What there is no room for is left out, and that is said."""
    global _left, _displays_left
    if _send is None:
        print(forms.get("text/plain", forms))
        return
    line = _line(forms)
    if len(line) > _left:
        line = _line(_smaller(forms, len(line)))
    if len(line) > _left or _displays_left <= 0:
        if _displays_left >= 0:
            print("There is no room for more displays; the others are left out.", file=sys.stderr)
        _displays_left = -1
        return
    _left -= len(line)
    _displays_left -= 1
    _send(line)


def bundle(value):
    """The forms of a value by MIME type, each text, or bytes where it is binary."""
    figure = sys.modules.get("matplotlib.figure")
    if figure and isinstance(value, figure.Figure):
        return _figure(value)
    forms = _own_bundle(value)
    if "text/plain" not in forms:
        forms = {"text/plain": _plain(value), **forms}
    for mime_type, name in _METHODS.items():
        if mime_type not in forms:
            form = _call(value, name)
            if form is not None:
                forms[mime_type] = form
    return forms


def _line(forms):
    data = {str(mime_type): _as_text(mime_type, form) for mime_type, form in forms.items()}
    text = json.dumps({"data": data, "metadata": {}}, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace") + b"\n"


def _as_text(mime_type, form):
    if isinstance(form, (bytes, bytearray, memoryview)):
        return binascii.b2a_base64(form, newline=False).decode()
    if mime_type == "application/json" or mime_type.endswith("+json"):
        if not isinstance(form, str):
            return json.dumps(form, default=repr, ensure_ascii=False)
    if not mime_type.startswith(("text/", "application/")) and not mime_type.endswith("+xml"):
        return "".join(str(form).split())  # base64, which may come in lines
    return str(form)


def _smaller(forms, size):
    """The text of a display that is too large."""
    text = str(forms.get("text/plain", ""))[: max(0, (_left - 1000) // _WORST_ESCAPE)]
    others = ", ".join(mime_type for mime_type in forms if mime_type != "text/plain") or "the rest"
    return {"text/plain": f"{text}\n[{others}: left out; with {size} bytes there is no room for it]"}


def _own_bundle(value):
    result = _call(value, "_repr_mimebundle_", include=None, exclude=None)
    forms = result[0] if isinstance(result, tuple) and result else result
    return {key: form for key, form in forms.items() if form is not None} if isinstance(forms, dict) else {}


def _call(value, name, **options):
    """What the method gives, without metadata; None where there is none, or it fails."""
    method = _method(value, name)
    if method is None:
        return None
    try:
        result = method(**options)
    except NotImplementedError:
        return None
    except Exception as error:
        _complain(value, name, error)
        return None
    if name != "_repr_mimebundle_" and isinstance(result, tuple) and result:
        return result[0]
    return result


def _method(value, name):
    """A method that the value has by intent: neither a class's, nor of one that has any attribute asked for."""
    try:
        if isinstance(value, type) or getattr(value, _CANARY, None) is not None:
            return None
        method = getattr(value, name, None)
    except Exception:
        return None
    return method if callable(method) else None


def _shows_itself(value):
    method = _method(value, "_ipython_display_")
    if method is None:
        return False
    try:
        method()
    except NotImplementedError:
        return False
    except Exception as error:
        _complain(value, "_ipython_display_", error)
    return True


def _complain(value, name, error):
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:
        text = type(error).__name__
    print(f"{type(value).__name__}.{name}() failed: {text[:1000]}", file=sys.stderr)


def _plain(value):
    try:
        return pretty(value)
    except Exception as error:
        try:
            text = f"{type(error).__name__}: {error}"
        except Exception:
            text = type(error).__name__
        return f"<{type(value).__name__} that cannot be shown: {text[:1000]}>"


def _figure(figure):
    forms = {"text/plain": _plain(figure)}
    if figure.axes or figure.lines:
        picture = io.BytesIO()
        try:
            figure.savefig(picture, format="png", bbox_inches="tight", facecolor=figure.get_facecolor())
            forms["image/png"] = picture.getvalue()
        except Exception as error:
            _complain(figure, "savefig", error)
    return forms


def with_last_shown(tree, name):
    """`tree`, a module's, with its last expression passed to what is called `name`; says whether it has one.

    All else stays: it is one module, on the same lines.
    """
    import ast

    if not tree.body or not isinstance(tree.body[-1], ast.Expr):
        return False
    last = tree.body[-1]
    function = ast.copy_location(ast.Name(name, ast.Load()), last.value)
    last.value = ast.copy_location(ast.Call(function, [last.value], []), last.value)
    return True


def ends_silently(source, tree):
    """Whether a semicolon after the last expression asks for nothing to be shown."""
    if not tree.body:
        return False
    last = tree.body[-1]
    rest = source.splitlines()[last.end_lineno - 1 :]
    after = rest[0].encode()[last.end_col_offset :].decode(errors="replace") if rest else ""
    return after.lstrip().startswith(";")
