"""Draws figures.json as chart.png. It runs in the Python image of sandbox_runner."""

import json

import matplotlib.pyplot as plt

OURS, PEER, BARE = "#1f6f8b", "#b8b8b8", "#444444"
TITLES = {
    "cold": "Cold: a fresh container (ms)",
    "warm": "Warm: a container that waited (ms)",
    "session": "Session: a step, until the result (ms)",
    "sustained": "Sustained: runs per second",
    "burst": "Burst: many at once, until the result (ms)",
    "latency": "Write to event (ms)",
    "bandwidth": "Output (MB/s)",
    "idle": "A waiting container (MB)",
}


def _ours(figure):
    return figure["engine"].startswith(("docker", "oci+")) and " " not in figure["engine"]


def _colour(figure):
    return BARE if figure["engine"] == "bare python" else OURS if _ours(figure) else PEER


def _label(figure):
    how = figure["variant"].split(", ")[-1] if figure["name"] == "burst" else ""
    return f"{figure['engine']}, {how}" if how and _ours(figure) else figure["engine"]


def _once(figures):
    """The first figure of each label; of a burst's, those that are one."""
    found = {}
    for figure in figures:
        if figure["variant"] != "one at a time":
            found.setdefault(_label(figure), figure)
    return found


def _draw_bars(axes, figures):
    shown = _once(figures)
    sign = 1 if figures[0]["unit"] == "MB/s" else -1  # the best on top
    names = sorted(shown, key=lambda name: sign * shown[name]["values"]["p50"])
    for place, name in enumerate(names):
        values, unit = shown[name]["values"], shown[name]["unit"]
        axes.barh(name, values["p50"], color=_colour(shown[name]))
        if values["n"] > 3:
            axes.plot([values["p10"], values["p90"]], [place, place], color="black", linewidth=1)
        text = f"{values['p50']:,.0f}" if values["p50"] >= 100 else f"{values['p50']:.3g}"
        axes.annotate(
            f"{text} {unit}",
            (max(values["p50"], values["p90"]), place),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    most = max(each["values"]["p90"] for each in shown.values())
    if figures[0]["unit"] == "ms":
        axes.set_xscale("log")
        least = min(each["values"]["p10"] for each in shown.values())
        axes.set_xlim(left=least / 3, right=most * 5)
    else:
        axes.set_xlim(right=most * 1.25)


LINES = {
    "oci+crun": "#c0392b",
    "crun run": "#c0392b",
    "oci+runc": "#7d3c98",
    "runc run": "#7d3c98",
    "docker": "#1f618d",
    "raw calls": "#1f618d",
    "docker run": "#5dade2",
    "bare python": "#444444",
    "bwrap": "#999999",
}


def _draw_lines(axes, figures):
    lines = {}
    for figure in figures:
        how = figure["variant"].partition(", ")[2]
        point = (figure["notes"]["concurrency"], figure["values"]["p50"])
        lines.setdefault((figure["engine"], how), []).append(point)
    for (engine, how), points in sorted(lines.items(), key=lambda item: -max(y for _, y in item[1])):
        xs, ys = zip(*sorted(points), strict=True)
        style = {"": ":", "no pool": "--"}.get(how, "-")
        name = "create + start + remove" if engine == "raw calls" else engine
        label = f"{name}, {how}" if how else name
        axes.plot(xs, ys, style, color=LINES.get(engine), marker="o", markersize=4 if how else 2, label=label)
    axes.set_yscale("log")
    axes.set_xscale("log", base=2)
    axes.set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    axes.set_xlabel("callers at one time", fontsize=8)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))


with open("figures.json") as file:
    document = json.load(file)
names = [name for name in TITLES if any(figure["name"] == name for figure in document["figures"])]
chosen = {name: [figure for figure in document["figures"] if figure["name"] == name] for name in names}
columns = min(2, len(names))
bars = [10 if name == "sustained" else len(_once(chosen[name])) for name in names]
heights = [max(10, *bars[first : first + columns]) / 3 for first in range(0, len(names), columns)]
drawing, grid = plt.subplots(
    len(heights),
    columns,
    figsize=(7 * columns, sum(heights)),
    squeeze=False,
    gridspec_kw={"height_ratios": heights},
)
places = list(grid.flat)
for name, axes in zip(names, places, strict=False):
    (_draw_lines if name == "sustained" else _draw_bars)(axes, chosen[name])
    axes.set_title(TITLES[name], fontsize=10)
    axes.tick_params(labelsize=8)
for axes in places[len(names) :]:
    axes.axis("off")
facts = document["facts"]
where = f"sandbox_runner {facts['sandbox_runner']}, {facts['date']} UTC, {facts['cores']} cores, {facts['kernel']}"
drawing.suptitle(where + (" (quick)" if document["quick"] else ""), fontsize=9)
drawing.tight_layout(rect=(0, 0, 1, 0.985))
drawing.savefig("chart.png", dpi=110)
plt.close("all")
