"""Readings of the paper that were searched, and what of it each of them shows."""

import re
import textwrap

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from helpers.figures.style import grid_of, titled


def readings(table: pd.DataFrame, parts: dict[str, str]) -> Figure:
    """How far each reading shows what the paper shows beside its clusters, a row a reading.

    Args:
        table: rows of readings.csv, in the order to draw them.
        parts: its columns to show -> their titles, beside `fit`, the mean of them.
    """
    figure, ((ax,),) = grid_of(1, 1, height=1.0 + 0.36 * len(table))
    shown = table[["fit", *parts]].astype(float)
    names = [f"{_short(row.reading)}\n(width {row.width}, epoch {row.epochs})" for row in table.itertuples()]
    sns.heatmap(
        shown, vmin=0, vmax=1, cmap="cividis", annot=True, fmt=".2f", annot_kws={"size": 5.8}, cbar=False, ax=ax
    )
    titles = ["fit: mean of the others", *(textwrap.fill(title, 24) for title in parts.values())]
    ax.set_xticks(ax.get_xticks(), titles, rotation=90, fontsize=6)
    ax.set_yticks(ax.get_yticks(), names, rotation=0, fontsize=5.5)
    ax.grid(False)
    ax.axvline(1, color="white", lw=3)
    title = "Readings that fit best: 1 where a run shows what the paper shows, 0 where not (white: not measured)"
    return titled(figure, title)


def _short(reading: str) -> str:
    plain = re.sub(r"\b(training|model|data)\.", "", reading)
    return textwrap.fill(plain, 48)
