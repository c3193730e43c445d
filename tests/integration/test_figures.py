"""Figures come back as files: those a program left open or showed, and those it saved itself."""

import pytest

from sandbox_runner import InputFile, Limits, run

PNG = b"\x89PNG\r\n\x1a\n"
PLOT = "import os, sys\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\n"
UNTIL = Limits(wall_time=60)  # no run here is ended by the clock unless it is meant to be


@pytest.fixture
def plot(repository):
    """Runs Python code after `PLOT`, in the image of this checkout, and asks for its pictures."""

    def plotted(code: str, *, start: str = PLOT, limits: Limits = UNTIL, **request):
        asked = {"artifacts": ["*.png", "*.svg"], "image": f"{repository}/python:latest", **request}
        return run(start + code, limits=limits, **asked)

    return plotted


def pictures(result) -> list[str]:
    assert all(file.data.startswith(PNG) for file in result.artifacts if file.path.startswith("figure"))
    return [file.path for file in result.artifacts]


FIGURE = "figure-1.png"
CASES = {
    "left open": ("", [FIGURE]),
    "two left open, one empty": ("plt.figure(); plt.bar([1], [2]); plt.figure()", [FIGURE, "figure-2.png"]),
    "shown": ("plt.show()", [FIGURE]),
    "shown, then another": ("plt.show(); plt.plot([2, 1]); plt.show()", [FIGURE, "figure-2.png"]),
    "shown by itself": ("plt.gcf().show()", [FIGURE]),
    "shown without waiting": ("plt.show(block=False)", [FIGURE]),
    "paused": ("plt.pause(0.01); plt.pause(0.01)", [FIGURE]),
    "drawn only": ("plt.gcf().canvas.draw()", [FIGURE]),
    "closed": ("plt.close()", []),
    "saved": ("plt.savefig('mine.png'); plt.savefig('mine.svg')", ["mine.png", "mine.svg"]),
    "saved, then drawn": ("plt.savefig('mine.png'); plt.gcf().canvas.draw()", ["mine.png"]),
    "saved, then shown": ("plt.savefig('mine.png'); plt.show()", ["mine.png"]),
    "saved, then changed": ("plt.savefig('mine.png'); plt.title('more')", ["mine.png", FIGURE]),
    "saved, changed, drawn": (
        "plt.savefig('mine.png'); plt.title('more'); plt.gcf().canvas.draw()", ["mine.png", FIGURE],
    ),
    "elsewhere": ("os.chdir('/tmp')", [FIGURE]),
    "forked": ("if os.fork() == 0: sys.exit()\nos.wait()", [FIGURE]),
    "shown by a fork": ("if os.fork() == 0: plt.show(); sys.exit()\nos.wait()", [FIGURE]),
    "drawn by a fork": ("plt.close()\nif os.fork() == 0: plt.plot([1]); sys.exit()\nos.wait()", [FIGURE]),
    "left by os._exit": ("os._exit(0)", []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_figure_comes_back_once(plot, case):
    code, expected = CASES[case]
    result = plot(code)
    assert (pictures(result), result.stderr, result.exit_code) == (expected, "", 0)


@pytest.mark.parametrize(
    "choice",
    ["import matplotlib as m; m.use('agg')", "import matplotlib.pyplot as p; p.switch_backend('svg')"],
)
def test_a_program_that_chooses_another_backend_gets_that_one(plot, choice):
    result = plot("plt.show()", start=f"{choice}\n{PLOT}")
    assert (pictures(result), result.exit_code) == ([], 0)


def test_a_figure_overwrites_no_file(plot):
    result = plot("", files=[InputFile(FIGURE, b"mine")])
    assert pictures(result) == ["figure-2.png"]  # the one that was sent is the same, so it stays there
    result = plot("open('figure-1.png', 'w').write('mine'); os.symlink('x', 'figure-2.png')", artifacts=["*"])
    assert {file.path: file.data[:4] for file in result.artifacts} == {
        FIGURE: b"mine",
        "figure-3.png": PNG[:4],
    }


def test_so_many_figures_are_saved_and_no_more(plot):
    result = plot("for n in range(17): plt.figure(figsize=(1, 1)); plt.plot([n])\nplt.close(1)")
    assert len(result.artifacts) == 16
    assert result.stderr == "More than 16 figures were left open; the others are not saved.\n"
    assert (result.exit_code, result.artifacts_omitted) == (0, 0)


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("sys.exit(7)", ("exited", 7)),
        ("1 / 0", ("exited", 1)),
        ("plt.show()\nwhile True: pass", ("timed_out", None)),
        ("plt.show(); os.kill(0, 9)", ("signaled", None)),
    ],
)
def test_figures_come_back_however_the_program_ended(plot, code, ended):
    result = plot(code, limits=Limits(wall_time=4) if "while" in code else UNTIL)
    assert (result.status, result.exit_code) == ended
    assert pictures(result) == [FIGURE]


@pytest.mark.parametrize("code", ["os.chmod('/workspace', 0o500)", "plt.title(r'$\\frac$')"])
def test_a_figure_that_cannot_be_saved_is_one_line_and_not_the_exit_code(plot, code):
    result = plot(f"{code}\nsys.exit(7)")
    assert (result.exit_code, pictures(result)) == (7, [])
    assert result.stderr.startswith("A figure that was left open could not be saved: ")
    assert result.stderr.count("\n") == 1


def test_a_function_returns_its_value_beside_its_figures(plot):
    result = plot("def execute(x): plt.show(); return plt.get_backend()", value=b"1")
    assert (result.value, pictures(result)) == (b'"module://sandbox_runner_figures"', [FIGURE])


def test_a_stream_tells_of_files_after_the_output_and_before_the_end(repository):
    import anyio

    from sandbox_runner import Config, Runner, RunRequest

    async def kinds() -> list[str]:
        request = RunRequest(
            language="python", code="print(1); open('x', 'w')", artifacts=["x"],
            image=f"{repository}/python:latest",
        )  # fmt: skip
        async with Runner.open(Config()) as runner, runner.stream(request) as stream:
            return [type(event).__name__ async for event in stream]

    assert list(dict.fromkeys(anyio.run(kinds))) == ["Started", "Output", "Artifact", "Exited"]


def test_the_result_as_a_document_names_the_files_and_not_their_bytes(plot):
    result = plot("open('x.svg', 'w').write('<svg/>')", start="")
    assert result.as_dict()["artifacts"] == [
        {
            "path": "x.svg",
            "size": 6,
            "type": "image/svg+xml",
            "file": None,
            "sha256": "d4dc56669143034f31aa309635d4113d9ad76a02b1739da22c965ed2049be9e6",
            "executable": False,
        }
    ]
