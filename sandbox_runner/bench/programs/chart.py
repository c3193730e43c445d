"""Draws figures.json as chart.png. It runs in the Python image of sandbox_runner."""

import json

import matplotlib.pyplot as plt

OURS, PEER, BARE = "#1f6f8b", "#b8b8b8", "#444444"
TITLES = {
    "cold": "Cold: a fresh container (ms)",
    "warm": "Warm: a container that waited (ms)",
    "sustained": "Sustained: runs per second",
    "burst": "100 at once: until the result (ms)",
    "latency": "Write to event (ms)",
    "bandwidth": "Output (MB/s)",
    "idle": "A waiting container (MB)",
}


def _ours(figure):
    return figure["engine"].startswith(("docker", "oci+")) and " " not in figure["engine"]


def _colour(figure):
    return BARE if figure["engine"] == "bare python" else OURS if _ours(figure) else PEER


def _label(figure):
    short = figure["variant"].split(", ")[-1] if figure["name"] == "burst" else ""
    return f"{figure['engine']} {short if _ours(figure) else ''}".strip()


def _once(figures):
    """The first figure of each label."""
    found = {}
    for figure in figures:
        found.setdefault(_label(figure), figure)
    return found


def _draw_bars(axes, figures):
    shown = _once(figures)
    names = sorted(shown, key=lambda name: -shown[name]["values"]["p50"])
    values = [shown[name]["values"] for name in names]
    heights = [value["p50"] for value in values]
    axes.barh(names, heights, color=[_colour(shown[name]) for name in names])
    for place, value in enumerate(values):
        axes.text(value["p50"], place, f" {value['p50']:.3g}", va="center", fontsize=8)
        if shown[names[place]]["unit"] == "ms":
            axes.plot([value["p10"], value["p90"]], [place, place], color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(right=max(heights) * 4)


def _draw_lines(axes, figures):
    lines = {}
    for figure in figures:
        how = figure["variant"].partition(", ")[2]
        point = (figure["notes"]["concurrency"], figure["values"]["p50"])
        lines.setdefault((figure["engine"], how), []).append(point)
    for (engine, how), points in sorted(lines.items(), key=lambda item: -max(y for _, y in item[1])):
        mine = bool(how)
        style = "-" if mine else ":"
        xs, ys = zip(*sorted(points), strict=True)
        axes.plot(xs, ys, style, marker="o" if mine else ".", label=f"{engine} {how}".strip())
    axes.set_yscale("log")
    axes.set_xscale("log", base=2)
    axes.set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    axes.set_xlabel("callers at one time")
    axes.legend(fontsize=7)


with open("figures.json") as file:
    document = json.load(file)
names = [name for name in TITLES if any(figure["name"] == name for figure in document["figures"])]
columns = min(2, len(names))
rows = -(-len(names) // columns)
drawing, grid = plt.subplots(rows, columns, figsize=(6.5 * columns, 3.2 * rows), squeeze=False)
places = list(grid.flat)
for name, axes in zip(names, places, strict=False):
    chosen = [figure for figure in document["figures"] if figure["name"] == name]
    (_draw_lines if name == "sustained" else _draw_bars)(axes, chosen)
    axes.set_title(TITLES[name], fontsize=10)
    axes.tick_params(labelsize=8)
for axes in places[len(names) :]:
    axes.axis("off")
facts = document["facts"]
where = f"sandbox_runner {facts['sandbox_runner']}, {facts['date']} UTC, {facts['cores']} cores, {facts['kernel']}"
drawing.suptitle(where + (" (quick)" if document["quick"] else ""), fontsize=9)
drawing.tight_layout()
drawing.savefig("chart.png", dpi=110)
plt.close("all")
