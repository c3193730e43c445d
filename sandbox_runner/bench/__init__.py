"""What runs cost on this machine, measured beside the bare interpreter and other ways to run a program.

`measure` runs the measures of `MEASURES`; each gives figures, and each figure says how it compares
with the bare interpreter, measured in turns with it, and with the bar that it has to meet.
"""

from sandbox_runner.bench.document import MEASURES, measure
from sandbox_runner.bench.figure import Figure, Summary

__all__ = ["MEASURES", "Figure", "Summary", "measure"]
