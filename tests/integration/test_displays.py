"""A program's last value, and what it passes to display(), come back as a notebook shows them."""

import base64
import json
import subprocess
import sys

import pytest

from sandbox_runner import InputFile, Limits, run
from sandbox_runner.errors import InvalidRequest

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def show(repository):
    """Runs a program with display, in the image of this checkout."""

    def called(code: str, **request):
        return run(code, display=True, image=f"{repository}/python:latest", **request)

    return called


def shown(result):
    """The text of each display."""
    return [display["text/plain"] for display in result.displays]


def test_the_last_value_is_displayed_and_what_is_printed_is_as_ever(show):
    code = "import sys\nprint(__name__, sys.argv, sys.path[0], __file__)\nx = 3\nx * 2"
    result = show(code, args=["a b"])
    assert shown(result) == ["6"]
    assert result.stdout == "__main__ ['main.py', 'a b'] /workspace /workspace/main.py\n"
    assert (result.stderr, result.exit_code, result.artifacts, result.value) == ("", 0, (), None)
    assert json.dumps(result.as_dict()["displays"]) == '[{"text/plain": "6"}]'


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        ("1; 2", ["2"]),
        ("1;", []),
        ("x = 1", []),
        ("None", []),
        ("print('a')", []),
        ("display(1, 'two')\n[3]", ["1", "'two'", "[3]"]),
        ("if 1:\n    5", []),
        ("'a' * 3 # text", ["'aaa'"]),
        ("'''doc'''", ["'doc'"]),
        ("from __future__ import annotations\n{'b': 1, 'a': 2}", ["{'b': 1, 'a': 2}"]),
        ("list(range(30))", ["[" + ",\n ".join(map(str, range(30))) + "]"]),
        ("from IPython.display import Markdown, display\ndisplay(Markdown('*a*'))",
         ["<IPython.core.display.Markdown object>"]),
        ("import os\nos.fork() or os._exit(0)\nos.wait()[1]", ["0"]),
        ("import multiprocessing as m\ndef f(x): return x + 1\nif __name__ == '__main__':\n"
         "  pool = m.get_context('spawn').Pool(1); display(pool.map(f, [1])); pool.close()", ["[2]"]),
    ],
)  # fmt: skip
def test_what_an_expression_gives_is_displayed_and_no_statement(show, code, texts):
    result = show(code)
    assert (shown(result), result.stderr, result.exit_code) == (texts, "", 0)


FORMS = """
import io, matplotlib.pyplot as plt, pandas as pd, sympy, numpy as np
from PIL import Image
from IPython.display import HTML, SVG, Audio
display(pd.DataFrame({"x": [1]}), sympy.sqrt(2), HTML("<b>h</b>"), SVG("<svg/>"), np.eye(1))
display(Image.new("RGB", (2, 2)))
display(Audio(np.sin(np.arange(800)), rate=8000))
fig, ax = plt.subplots()
ax.plot([1, 2])
fig
"""


def test_values_have_the_forms_that_notebooks_know(show):
    result = show(FORMS)
    assert [set(display) - {"text/plain"} for display in result.displays] == [
        {"text/html"}, {"text/latex"}, {"text/html"}, {"image/svg+xml"}, set(),
        {"image/png", "image/jpeg"}, {"audio/wav"}, {"image/png"},
    ]  # fmt: skip
    frame, root, html, svg, array, picture, sound, figure = result.displays
    assert frame["text/plain"] == "   x\n0  1"
    assert "<table" in frame["text/html"]
    assert root["text/latex"] == r"$\displaystyle \sqrt{2}$"
    assert (html["text/html"], svg["image/svg+xml"], array["text/plain"]) == (
        "<b>h</b>", "<svg/>", "array([[1.]])",
    )  # fmt: skip
    assert base64.b64decode(picture["image/png"]).startswith(PNG)
    assert base64.b64decode(sound["audio/wav"]).startswith(b"RIFF")
    assert base64.b64decode(figure["image/png"]).startswith(PNG)
    assert (result.artifacts, result.displays_omitted, result.stderr) == ((), 0, "")


def test_modules_of_the_program_take_no_part_in_displaying(show):
    names = ("json", "ast", "io", "binascii", "builtins", "types", "base64", "sandbox_runner_pretty")
    files = [InputFile(f"{name}.py", b"raise SystemExit('imported')") for name in names]
    result = show("b'a' * 2", files=files)
    assert (shown(result), result.stderr) == (["b'aa'"], "")


def test_figures_that_are_shown_or_left_open_are_displays(show):
    code = (
        "import matplotlib.pyplot as plt\nplt.plot([1]); plt.show()\nprint('between')\n"
        "plt.figure(figsize=(2, 1)); plt.plot([2])\nprint('end')"
    )
    result = show(code, artifacts=["*"])
    assert shown(result) == ["<Figure size 640x480 with 1 Axes>", "<Figure size 200x100 with 1 Axes>"]
    assert (result.artifacts, result.stdout) == ((), "between\nend\n")


TRACE = 'Traceback (most recent call last):\n  File "/workspace/main.py", line 2, in <module>\n'


@pytest.mark.parametrize(
    ("code", "said", "exit_code"),
    [
        ("x = 1\n1 / 0", TRACE + "    1 / 0\n    ~~^~~\nZeroDivisionError: division by zero\n", 1),
        ("x = 1\n{}['k']", TRACE + "    {}['k']\n    ~~^^^^^\nKeyError: 'k'\n", 1),
        ("x = (", '  File "/workspace/main.py", line 1\n    x = (\n        ^\nSyntaxError: ', 1),
        ("import sys\nsys.exit(3)", "", 3),
        ("import sys\nsys.exit('bye')", "bye\n", 1),
    ],
)
def test_a_program_that_fails_fails_as_it_does_without(show, repository, code, said, exit_code):
    result = show(code)
    plain = run(code, image=f"{repository}/python:latest")
    assert result.stderr.startswith(said)
    assert (result.stderr, result.exit_code) == (plain.stderr, plain.exit_code)
    assert (result.displays, exit_code) == ((), plain.exit_code)


HOSTILE = """
class Raises:
    def __repr__(self): raise ValueError("no repr")
    def _repr_html_(self): raise KeyError("no html")
class Any:
    def __getattr__(self, name): return lambda *args, **kwargs: 1 / 0
class Endless(list):
    def __iter__(self):
        while True: yield 1
class Deep:
    def __repr__(self): return repr(self)
class Odd:
    def __repr__(self): return "\\ud800\\x00\\x1b[31m"
class Exits:
    def _repr_html_(self): raise SystemExit(9)
    def __repr__(self): return "exits"
display(Raises(), Any(), Endless([1]), Deep(), Odd(), {"k": Raises()})
display(Exits())
"""


def test_a_hostile_repr_gives_a_text_and_no_crash(show):
    result = show(HOSTILE)
    raises, anything, endless, deep, odd, inner = shown(result)
    assert raises == "<Raises that cannot be shown: ValueError: no repr>"
    assert anything.startswith("<__main__.Any at 0x")
    assert endless.endswith("1,\n ...]")
    assert deep.startswith("<Deep that cannot be shown: RecursionError: ")
    assert odd == "?\x00\x1b[31m"
    assert inner == "<dict that cannot be shown: ValueError: no repr>"
    assert "Raises._repr_html_() failed: KeyError: 'no html'\n" in result.stderr
    assert (result.exit_code, result.displays_omitted) == (9, 0)  # an exit is one


LARGE = """
class Picture:
    def __init__(self, size): self.size = size
    def _repr_png_(self): return bytes(self.size)
    def __repr__(self): return f"picture of {self.size}"
display(Picture(9 << 20), Picture(4 << 20), Picture(4 << 20), "x" * (2 << 20))
for number in range(2000): display(number)
"""


def test_displays_are_bounded_and_what_is_left_out_is_told(show):
    result = show(LARGE)
    texts = shown(result)
    assert texts[0].startswith("picture of 9437184\n[image/png: left out; with ")
    assert texts[1] == "picture of 4194304"
    assert "image/png" in result.displays[1]
    assert texts[2].startswith("picture of 4194304\n[image/png: left out; ")
    assert texts[3].endswith("… (cut at 1048576 characters)")
    assert (len(texts), texts[-1]) == (1000, "995")
    assert result.stderr == "There is no room for more displays; the others are left out.\n"
    assert result.exit_code == 0


@pytest.mark.parametrize("forged", [b"{}\n" * 5, b"\xff\n" * 5, b'{"data":{"text/plain":[]}}\n' * 5])
def test_what_a_program_forges_is_left_out_and_counted(show, forged):
    result = show(f"import os\nos.write(4, {forged!r})\n'real'")
    assert (shown(result), result.displays_omitted, result.exit_code) == (["'real'"], 5, 0)


def test_a_program_that_closes_the_descriptor_hears_of_it_and_goes_on(show):
    result = show("import os\nos.close(4)\ndisplay(1)\nprint('on')")
    assert (result.stdout, result.displays, result.exit_code) == ("on\n", (), 0)
    assert result.stderr.startswith("A display could not be given back, as descriptor 4 was closed")


def test_what_was_displayed_before_a_limit_comes_back(show):
    result = show("display(1)\nwhile True: pass", limits=Limits(wall_time=2))
    assert (shown(result), result.status) == (["1"], "timed_out")


def test_without_display_the_function_prints_and_nothing_is_shown(repository):
    code = "from IPython.display import display, HTML\ndisplay([1], HTML('x'))\n3"
    result = run(code, image=f"{repository}/python:latest")
    assert result.stdout == "[1]\n<IPython.core.display.HTML object>\n"
    assert (result.displays, result.stderr) == ((), "")


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (
            {"code": "1", "language": "bash"},
            "bash displays nothing; leave display out, or use one of: python.",
        ),
        ({"code": "1", "value": b"1"}, "display goes with code, and not with a command or a value"),
        ({"command": ["true"]}, "display goes with code, and not with a command or a value"),
    ],
)
def test_what_displays_nothing_is_refused(request_, said):
    with pytest.raises(InvalidRequest, match=said):
        run(display=True, **request_)


def test_the_command_line_prints_values_and_writes_their_pictures(tmp_path):
    code = "import matplotlib.pyplot as plt\nprint('printed')\nplt.plot([1])\ndisplay([1, 2])\nplt.gcf()"
    command = [
        sys.executable,
        "-P",
        "-m",
        "sandbox_runner",
        "run",
        "--display",
        "--out",
        str(tmp_path),
        "-c",
        code,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout == "printed\n[1, 2]\n<Figure size 640x480 with 1 Axes>\n"
    assert (tmp_path / "display-2.png").read_bytes().startswith(PNG)
    assert [path.name for path in tmp_path.iterdir()] == ["display-2.png"]
    assert (f"wrote {tmp_path}/display-2.png" in ended.stderr, ended.returncode) == (True, 0)
