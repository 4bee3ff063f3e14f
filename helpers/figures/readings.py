"""Choices that the paper leaves open, in pictures: whole readings that were searched, and changes to one of them."""

import textwrap

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from helpers.figures.style import CLAIM_TITLES, OKABE_ITO, OTHERS, grid_of, reading_title, titled, variant_title
from helpers.rows import NO_CHOICE, runs_in


def readings(table: pd.DataFrame, parts: dict[str, str]) -> Figure:
    """How far each reading shows what the paper shows apart from its clusters, a row a reading.

    Args:
        table: rows of readings.csv, in the order to draw them.
        parts: its columns to show -> their titles, beside `fit`, the mean of them.
    """
    figure, ((ax,),) = grid_of(1, 1, height=1.0 + 0.36 * len(table))
    shown = table[["fit", *parts]].astype(float)
    names = [
        f"{textwrap.fill(reading_title(row.reading), 48)}\n(width {row.width}, epoch {row.epochs})"
        for row in table.itertuples()
    ]
    sns.heatmap(
        shown, vmin=0, vmax=1, cmap="cividis", annot=True, fmt=".2f", annot_kws={"size": 5.8}, cbar=False, ax=ax
    )
    titles = ["fit: mean of the others", *(textwrap.fill(title, 24) for title in parts.values())]
    ax.set_xticks(ax.get_xticks(), titles, rotation=90, fontsize=6)
    ax.set_yticks(ax.get_yticks(), names, rotation=0, fontsize=6)
    ax.grid(False)
    ax.axvline(1, color="white", lw=3)
    title = "Readings that fit best: 1 where a run shows what the paper shows, 0 where not (white: not measured)"
    return titled(figure, title, "those trained longest first; one run each")


def multiverse(table: pd.DataFrame, rules: dict[str, tuple[float, float]]) -> Figure:
    """Each claim's quantity (rows) under every change to what the paper leaves open (columns), as numbers.

    Args:
        table: multiverse.csv, one run a variant; several rows of one variant become their mean.
        rules: claim -> (above, below), the numbers between which it holds; those are coloured.
    """
    trained = table[(table["model"] == "trained") & table["claim"].isin(rules)]
    places = (("raw", "end"), ("all", "end"), ("raw", "peak"), ("centred", "end"))
    notes = {("raw", "peak"): ", highest epoch", ("centred", "end"): ", input-centred"}
    keys = [(key, *place) for key in rules for place in places]
    values = trained.pivot_table(index=["claim", "space", "at"], columns="variant", values="value")
    values = values.reindex(index=[key for key in keys if key in values.index])
    values = values[sorted(dict.fromkeys(trained["variant"]), key=lambda name: (name != "default", name == OTHERS))]
    holds = [[rules[key[0]][0] < v < rules[key[0]][1] for v in row] for key, row in values.iterrows()]
    shown = np.where(values.isna(), np.nan, np.array(holds, dtype=float))
    figure, ((ax,),) = grid_of(1, 1, height=1.9 + 0.16 * len(values))
    ax.pcolormesh(shown, cmap=mpl.colors.ListedColormap(["#f6d5bf", "#b8d8ec"]), vmin=0, vmax=1, ec="white", lw=1)
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            ax.text(j + 0.5, i + 0.5, f"{value:.2f}", ha="center", va="center", fontsize=5.8)
    names = [CLAIM_TITLES[key] + notes.get(place, "") for key, *rest in values.index for place in [tuple(rest)]]
    ax.set_yticks(np.arange(len(values)) + 0.5, names, fontsize=6)
    columns = [textwrap.fill(variant_title(v), 22) for v in values]
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns, fontsize=6, rotation=90)
    ax.set(ylim=(len(values), 0))
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    looks = ({"color": "#b8d8ec"}, {"color": "#f6d5bf"}, {"fc": "white", "ec": "0.7"})
    words = ("on the statement's side of its number", "on the other side", "this run cannot tell")
    figure.legend([mpl.patches.Patch(**look) for look in looks], words, loc="outside lower center", ncol=3)
    title = "Each quantity under changes to what the paper leaves open"
    return titled(figure, title, f"{runs_in(table)}; last column: mean of the runs with other seeds")


FLIPPED = (
    "task_subset", "task_validation", "distribution_mapping", "distribution_mapping_validation", "hard_separate",
    "hard_nearer", "accuracy_subset", "accuracy_validation", "knn_high", "same_task_share",
)  # fmt: skip


def flips(table: pd.DataFrame, seeds: pd.DataFrame, rules: dict[str, tuple[float, float]]) -> Figure:
    """Which change raises, and which lowers, each quantity most, beside what another seed does to it.

    Args:
        table: multiverse.csv.
        seeds: parts.csv, the default with other seeds; may have no rows.
        rules: claim -> (above, below); the number from which it holds is marked.
    """
    mine, others = (
        t[(t["model"] == "trained") & (t["at"] == "end") & t["space"].isin(("raw", "all"))] for t in (table, seeds)
    )
    mine = mine[~mine["variant"].str.contains(NO_CHOICE)]
    keys = [key for key in FLIPPED if key in set(mine["claim"])]
    figure, ((ax,),) = grid_of(1, 1, height=0.4 + 0.4 * len(keys))
    for y, key in enumerate(keys):
        values = mine[mine["claim"] == key].set_index("variant")["value"].dropna()
        chance = others.loc[others["claim"] == key, "value"]
        if len(chance):
            ax.plot([chance.min(), chance.max()], [y, y], color="0.8", lw=9, solid_capstyle="butt", zorder=1)
        for variant, colour, side in ((values.idxmax(), OKABE_ITO[0], 1), (values.idxmin(), OKABE_ITO[1], -1)):
            _flip(ax, values, variant, y, colour, side)
        ax.plot(values["default"], y, "o", color="black", ms=4, zorder=4)
        above, _ = rules[key]
        ax.plot([above, above], [y - 0.4, y + 0.4], color="black", lw=0.9, ls=":", zorder=2)
    ax.set_yticks(range(len(keys)), [CLAIM_TITLES[key] for key in keys])
    ax.set(ylim=(len(keys) - 0.4, -0.6), xlim=(-0.42, 1.42))
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.set_xlabel("F1, share or accuracy", fontsize=7.5)
    ax.grid(axis="y", visible=False)
    _flip_legend(figure, bool(len(others)))
    title = "Which change to an open choice raises, and which lowers, each quantity most"
    return titled(figure, title, f"{runs_in(table)}; raw states, last epoch")


def _flip(ax, values: pd.Series, variant: str, y: int, colour: str, side: int) -> None:
    """An arrow from the default to a variant, with the variant's words beside it; none if no variant is beyond it."""
    if variant == "default":
        return
    look = {"arrowstyle": "-|>", "color": colour, "lw": 1.4, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}
    ax.annotate("", (values[variant], y), (values["default"], y), arrowprops=look, zorder=3)
    words = textwrap.fill(variant_title(variant), 26, break_on_hyphens=False)
    ax.annotate(
        words, (values[variant], y), (6 * side, 0), textcoords="offset points", ha="left" if side > 0 else "right",
        va="center", fontsize=6.5, color=colour, zorder=5, bbox={"fc": "white", "ec": "none", "pad": 0.5, "alpha": 0.8},
    )  # fmt: skip


def _flip_legend(figure: Figure, chance: bool) -> None:
    handles = [
        mpl.lines.Line2D([], [], marker="o", ls="", color="black", ms=4, label="nothing changed"),
        mpl.lines.Line2D([], [], marker=">", color=OKABE_ITO[0], label="raised most by"),
        mpl.lines.Line2D([], [], marker="<", color=OKABE_ITO[1], label="lowered most by"),
        mpl.lines.Line2D([], [], color="black", ls=":", lw=0.9, label="the statement holds above"),
    ]
    if chance:
        handles.append(mpl.lines.Line2D([], [], color="0.8", lw=7, label="range over other seeds"))
    figure.legend(handles=handles, loc="outside lower center", ncol=3)
