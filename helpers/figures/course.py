"""Figures of clusters by task beside accuracy over training, and of what KMeans tells apart."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from helpers.figures.style import OKABE_ITO, SPACE_TITLES, SPLIT_TITLES, grid_of, reading_title, titled
from helpers.rows import mean_path, runs_in

SEEN = {"task": OKABE_ITO[0], "input": OKABE_ITO[1], "output": OKABE_ITO[2]}
SPACES = ("raw", "tsne", "centred")
HUES = ("Blues", "Oranges", "Greens", "Purples", "Reds", "Greys")  # of readings, in order; the wider, the darker


def course(table: pd.DataFrame) -> Figure:
    """F1 by task against accuracy: the mean path over seeds from the untrained model (small dot) to the last epoch
    (large dot), and the path of each run, pale.

    Args:
        table: rows of course.csv or course_grids.csv, the layer with the highest F1 at each epoch (`course.highest`).
    """
    shown = [s for s in SPACES if s in set(table["space"])]
    figure, axes = grid_of(len(SPLIT_TITLES), len(shown), height=2.3)
    colours = _colours(table)
    for (split, title), line in zip(SPLIT_TITLES.items(), axes, strict=True):
        for space, ax in zip(shown, line, strict=True):
            part = table[(table["split"] == split) & (table["space"] == space)]
            for kind, runs in part.groupby(["reading", "width"], sort=False):
                for _, run in runs.sort_values("epoch").groupby("seed"):
                    ax.plot(run["accuracy"], run["f1"], "-", color=colours[kind], lw=0.7, alpha=0.2)
                path = mean_path(runs, ["accuracy", "f1"])
                ax.plot(path["accuracy"], path["f1"], "-", color=colours[kind], lw=1.4)
                ends = path.iloc[[0, -1]]
                ax.scatter(ends["accuracy"], ends["f1"], s=[8, 30], color=colours[kind], zorder=3)
            ax.set(
                xlim=(-0.05, 1.05),
                ylim=(-0.05, 1.05),
                ylabel="",
                title="" if split != "subset" else SPACE_TITLES[space],
            )
            if split != "subset":
                ax.set_xlabel("accuracy")
        line[0].set_ylabel(f"{title}\nF1 by task")
    handles = [
        mpl.lines.Line2D([], [], color=colour, label=f"{reading_title(reading)}, width {width:,}")
        for (reading, width), colour in colours.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncol=min(4, len(handles)))
    title = (
        "Do clusters by task last as accuracy rises?\n"
        "Mean over seeds, from untrained (small dot) to the last epoch; pale: each run"
    )
    return titled(figure, title, runs_in(table))


def _colours(table: pd.DataFrame) -> dict[tuple[str, int], tuple]:
    """Reading and width -> colour: a hue a reading, darker for wider models."""
    found = {}
    for n, (reading, rows) in enumerate(table.groupby("reading")):
        widths = sorted(rows["width"].unique())
        shades = np.linspace(0.4, 0.95, len(widths)) if len(widths) > 1 else [0.8]
        hue = mpl.colormaps[HUES[n % len(HUES)]]
        found |= {(reading, width): hue(shade) for width, shade in zip(widths, shades, strict=True)}
    return found


def seen(table: pd.DataFrame, width: int) -> Figure:
    """What the clusters of KMeans agree with over training: task, input or output; dashed, the model's accuracy.

    Args:
        table: of runs of this profile, as for `course`.
        width: hidden dimension to show.
    """
    chosen = table[table["width"] == width]
    shown = [s for s in SPACES if s in set(chosen["space"])]
    figure, axes = grid_of(len(SPLIT_TITLES), len(shown), height=2.0)
    for (split, title), line in zip(SPLIT_TITLES.items(), axes, strict=True):
        for space, ax in zip(shown, line, strict=True):
            part = chosen[(chosen["split"] == split) & (chosen["space"] == space)]
            means = part.groupby("epoch")[[*(f"sees_{name}" for name in SEEN), "accuracy"]].mean()
            for name, colour in SEEN.items():
                ax.plot(means.index, means[f"sees_{name}"], "o-", ms=2.5, lw=1, color=colour)
            ax.plot(means.index, means["accuracy"], "--", color="0.35", lw=0.9)
            ax.set(ylim=(-0.05, 1.05), ylabel="", title="" if split != "subset" else SPACE_TITLES[space])
            if split != "subset":
                ax.set_xlabel("epoch")
        line[0].set_ylabel(f"{title}\nAMI")
    handles = [mpl.lines.Line2D([], [], color=c, marker="o", ms=3, label=name) for name, c in SEEN.items()]
    handles.append(mpl.lines.Line2D([], [], color="0.35", ls="--", lw=0.9, label="accuracy of the model"))
    figure.legend(handles=handles, loc="outside lower center", ncol=len(handles))
    title = "What KMeans tells apart: adjusted mutual information of its clusters with task, input and output"
    return titled(figure, title, f"{runs_in(chosen)}; at each epoch the layer with the highest F1 by task")
