"""Runs the analysis of sales_plot.py from a Python program and saves the picture that comes back.

Run: python examples/plot_from_python.py
"""

from pathlib import Path

from sandbox_runner import InputFile, Limits, run

HERE = Path(__file__).parent

result = run(
    (HERE / "sales_plot.py").read_text(),
    files=[InputFile("sales.csv", (HERE / "sales.csv").read_bytes())],
    limits=Limits(wall_time=60, memory="512m"),
)
print(result.stderr, end="")
if not result.ok:
    raise SystemExit(f"the analysis did not succeed: {result.status}")
captured = result.captured["stdout"]  # the bytes; result.stdout is the same as text
Path("sales.png").write_bytes(captured.head + captured.tail)
print(f"saved sales.png, {result.usage.wall_time:.1f} s in the sandbox")
