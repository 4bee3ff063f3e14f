"""The explorer's plots as a figure that stays."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from helpers.figures.style import MANY, grid_of, titled


def explorer(shown: list[dict], title: str) -> Figure:
    """The explorer's plots as they are.

    Args:
        shown: one a plot: title, points (N, 2) in the square from -1 to 1, codes (N,), names and colours of the codes,
            selected (row numbers; the others are dimmed where there are some).
    """
    figure, grid = grid_of(-(-len(shown) // 2), min(2, len(shown)), height=3.4)
    axes = [ax for line in grid for ax in line]
    for ax, one in zip(axes, shown, strict=False):
        colours = np.array(one["colours"])[one["codes"]]
        alpha = np.full(len(colours), 0.85)
        if len(one["selected"]):
            alpha[:] = 0.12
            alpha[one["selected"]] = 0.95
        order = np.random.default_rng(0).permutation(len(colours))  # or the last label would cover the others
        ax.scatter(
            *one["points"][order].T, c=colours[order], alpha=alpha[order], s=14 if len(order) < 1000 else 4, lw=0,
            rasterized=len(order) > MANY,
        )  # fmt: skip
        ax.set(xlim=(-1, 1), ylim=(-1, 1), xticks=[], yticks=[], aspect="equal")
        ax.set_title(one["title"], fontsize=8)
        ax.spines[:].set(visible=True, color="0.8")
        ax.grid(False)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    names, colours = shown[0]["names"], shown[0]["colours"]
    if 1 < len(names) <= 24 and all(one["names"] == names for one in shown):
        dots = [plt.Line2D([], [], marker="o", ls="", ms=4, color=c) for c in colours]
        columns = max(2, min(10, 70 // max(6, *map(len, names))))
        figure.legend(dots, names, fontsize=7, ncols=columns, loc="outside lower center")
    return titled(figure, title)
