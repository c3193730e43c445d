"""The backend of matplotlib in each run (MPLBACKEND): draws with Agg, and makes files of open figures.

`plt.show()` saves each open figure as figure-N.png at the top of the workspace, and closes it. What is
open when the program ends is saved likewise, unless it was saved or shown since its last change. No
file that exists is touched, and a forked process leaves its parent's figures alone. Where displays are
connected (see `sandbox_runner_display`) figures become displays instead of files.
"""

import atexit
import io
import os
import sys

from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

FOLDER = "/workspace"
MOST = 16  # figures that one process saves

_saved = 0


class FigureManager(FigureManagerBase):
    def __init__(self, canvas, num):
        super().__init__(canvas, num)
        self.process = os.getpid()

    @classmethod
    def pyplot_show(cls, *, block=None):
        if block is False:  # as plt.pause() asks; the program goes on to draw
            return
        for manager in Gcf.get_all_fig_managers():
            save(manager)
            Gcf.destroy(manager)

    def show(self):
        save(self)


class FigureCanvas(FigureCanvasAgg):
    manager_class = FigureManager
    changed = True  # since it was last saved

    def draw(self):
        self.changed = self.changed or self.figure.stale
        super().draw()

    def print_figure(self, *args, **kwargs):
        result = super().print_figure(*args, **kwargs)
        self.changed = self.figure.stale = False
        return result


def save(manager):
    """Makes a file of the figure, where that is due."""
    global _saved
    if not isinstance(manager, FigureManager) or manager.process != os.getpid():
        return
    canvas, figure = manager.canvas, manager.canvas.figure
    empty = len(figure.get_children()) < 2  # its background is always there
    if empty or not (figure.stale or canvas.changed):
        return
    display = sys.modules.get("sandbox_runner_display")
    if display and display.connected():
        display.display(figure)
        canvas.changed = figure.stale = False
        return
    _saved += 1
    if _saved > MOST:
        if _saved == MOST + 1:
            print(f"More than {MOST} figures were left open; the others are not saved.", file=sys.stderr)
        return
    picture = io.BytesIO()
    figure.savefig(picture, format="png", bbox_inches="tight")
    with new_file() as file:
        file.write(picture.getbuffer())


def new_file():
    number = 1
    while True:
        try:
            return open(f"{FOLDER}/figure-{number}.png", "xb")
        except FileExistsError:
            number += 1


@atexit.register
def save_what_is_open():
    # Here an exception would be printed at length, on top of how the program ended.
    for manager in Gcf.get_all_fig_managers():
        try:
            save(manager)
        except Exception as error:
            last_words = [type(error).__name__, *str(error).split("\n")][-1]
            print(f"A figure that was left open could not be saved: {last_words}", file=sys.stderr)
            return
