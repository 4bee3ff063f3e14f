"""The verdict in pictures: claims, controls, moved states, other readings, other ways to cluster."""

import re
import textwrap

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from helpers.figures.style import SPACE_TITLES, SPLIT_TITLES, grid_of, titled

VERDICT_COLOURS = {
    "holds": "#0072b2",
    "holds, but no more than untrained": "#8c6bb1",
    "holds under a condition": "#56b4e9",
    "does not hold": "#d55e00",
    "undecided": "0.35",
    "not measured": "0.7",
}


def claims(
    table: pd.DataFrame, rules: dict[str, tuple[float, float]], statements: dict[str, str], title: str
) -> Figure:
    """Each claim's quantity with its 95% interval over seeds, one panel a claim, one row in it a width.

    Args:
        table: claims.csv; its rows of a width.
        rules: claim -> (above, below), the numbers between which it holds; that is shaded.
        statements: claim -> what it says, the title of its panel.
    """
    rows = table.dropna(subset=["width", "ours"]).astype({"width": int})
    widths = sorted(rows["width"].unique())
    keys = [key for key in rules if key in set(rows["claim"])]
    columns = 4
    figure, axes = grid_of(
        max(1, -(-len(keys) // columns)), columns, height=1.1 + 0.28 * max(1, len(widths)), panel=2.7
    )
    for key, ax in zip(keys, axes.ravel(), strict=False):
        for row in rows[rows["claim"] == key].itertuples():
            y, colour = widths.index(row.width), VERDICT_COLOURS[row.verdict]
            if np.isfinite(row.low):
                ax.plot([row.low, row.high], [y, y], color=colour, lw=2, solid_capstyle="round")
            ax.plot(row.ours, y, "o", ms=5, color=colour)
        _shade(ax, *rules[key])
        ax.set(ylim=(len(widths) - 0.5, -0.5))
        ax.set_title(textwrap.fill(statements[key], 38), fontsize=8.5)
        ax.set_yticks(range(len(widths)), widths)
        ax.grid(axis="y", visible=False)
    for ax in axes.ravel()[len(keys) :]:
        ax.set_visible(False)
    handles = [mpl.lines.Line2D([], [], color=c, marker="o", lw=2, label=v) for v, c in VERDICT_COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncol=3)
    return titled(figure, title)


def thresholds(table: pd.DataFrame, statements: dict[str, str]) -> Figure:
    """The verdict on each claim that something is high, for several numbers that 'high' may mean.

    A panel a width, of which anything was measured.

    Args:
        table: thresholds.csv.
        statements: claim -> what it says.
    """
    table = table[table.groupby("width")["verdict"].transform(lambda v: (v != "not measured").any())]
    widths, numbers = sorted(table["width"].unique()), sorted(table["number"].unique())
    keys = [key for key in statements if key in set(table["claim"])]
    figure, (axes,) = grid_of(1, len(widths), height=0.9 + 0.42 * len(keys), panel=2.3)
    places = dict(zip(VERDICT_COLOURS, range(len(VERDICT_COLOURS)), strict=True))
    colours = mpl.colors.ListedColormap(list(VERDICT_COLOURS.values()))
    for width, ax in zip(widths, axes, strict=True):
        mine = table[table["width"] == width].assign(place=lambda t: t["verdict"].map(places))
        shown = mine.pivot_table(index="claim", columns="number", values="place").reindex(index=keys, columns=numbers)
        ax.imshow(shown, cmap=colours, vmin=0, vmax=len(places) - 1, aspect="auto")
        ax.set_xticks(range(len(numbers)), [f"{n:g}" for n in numbers])
        ax.set(title=f"width {width}", xlabel="'high' is above")
        ax.grid(visible=False)
        ax.set_yticks(range(len(keys)), [])
    axes[0].set_yticks(range(len(keys)), [textwrap.fill(statements[key], 44) for key in keys])
    handles = [mpl.patches.Patch(color=colour, label=verdict) for verdict, colour in VERDICT_COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncol=3)
    return titled(figure, "The verdict depends on what 'high' means")


CONTROL_TITLES = {
    "linear_probe": "linear probe (accuracy)",
    "within_input_f1": "F1 within one input",
    "within_input_chance": "F1 within one input, permuted",
    "layer_normed_f1": "F1, layer-normed states",
    "raw": "F1, raw states",
    "centred": "F1, input-centred states",
    "permuted_f1": "F1, labels permuted (chance)",
}


def controls(table: pd.DataFrame, scores: pd.DataFrame, surface: pd.DataFrame, width: int) -> Figure:
    """Task scores of the last logged epoch beside their controls, by layer.

    Args:
        table: controls.csv.
        scores: clustering.csv.
        surface: surface.csv, whose F1s are drawn as levels.
        width: hidden dimension to show.
    """
    figure, (axes,) = grid_of(1, 2, height=3.6, panel=4.2)
    colours = dict(zip(CONTROL_TITLES, sns.color_palette("colorblind"), strict=False))
    levels = {"input": ":", "bag_of_symbols": "--", "edit_distance": "-."}
    for split, ax in zip(SPLIT_TITLES, axes, strict=True):
        at = table[(table["width"] == width) & (table["split"] == split)]
        at = at[at["epoch"] == at["epoch"].max()]
        task = scores[(scores["width"] == width) & (scores["split"] == split) & (scores["label"] == "task")]
        task = task[task["epoch"] == task["epoch"].max()]
        for name, title in CONTROL_TITLES.items():
            chosen = at[at["control"] == name].rename(columns={"value": "f1"})
            line = (chosen if len(chosen) else task[task["space"] == name]).groupby("layer")["f1"].mean()
            ax.plot(line.index, line, "o-", ms=4, color=colours[name], label=title if ax is axes[0] else None)
        chosen = surface[(surface["split"] == split) & (surface["label"] == "task")]
        for name, style in levels.items():
            level = chosen.loc[chosen["control"] == name, "f1"].mean()
            label = f"F1, {name.replace('_', ' ')} alone" if ax is axes[0] else None
            ax.axhline(level, color="0.4", ls=style, lw=1, label=label)
        ax.set(ylim=(-0.03, 1.03), xlabel="layer", title=SPLIT_TITLES[split])
    figure.legend(loc="outside right center")
    return titled(figure, f"Clusters by task beside their controls, width {width}")


def interventions(table: pd.DataFrame, width: int) -> Figure:
    """Answers that follow a moved state, and answers that stay, by layer and direction.

    Args:
        table: interventions.csv.
        width: hidden dimension to show.
    """
    titles = {
        "task_and_input": "to the other task's mean for this input",
        "task": "along the difference of task means (inputs removed)",
        "random": "as far in a random direction",
    }
    figure, (axes,) = grid_of(1, 2, height=3.2, panel=3.8)
    chosen = table[table["width"] == width]
    for column, title, ax in (
        ("became_other", "Answer becomes the other task's", axes[0]),
        ("stayed", "Answer stays", axes[1]),
    ):
        for (direction, label), colour in zip(titles.items(), ("#0072b2", "#009e73", "0.5"), strict=True):
            part = chosen[chosen["direction"] == direction].groupby("layer")[column]
            mean = part.mean()
            ax.plot(mean.index, mean, "o-", ms=4, color=colour, label=label if ax is axes[0] else None)
            if chosen["seed"].nunique() > 1:
                ax.fill_between(mean.index, part.min(), part.max(), color=colour, alpha=0.15, lw=0)
        ax.set(ylim=(-0.03, 1.03), xlabel="layer at which the state is moved", title=title)
    figure.legend(loc="outside lower center", ncol=1)
    return titled(figure, f"Is the cluster used? Validation instances the model solves, width {width}")


def multiverse(table: pd.DataFrame, rules: dict[str, tuple[float, float]]) -> Figure:
    """Each claim's quantity under every variant of what the paper leaves open.

    Args:
        table: multiverse.csv; a dot is one run.
        rules: claim -> (above, below), the numbers between which it holds; that is shaded.
    """
    variants = list(dict.fromkeys(table["variant"]))
    plain = [re.sub(r"\b(training|model|data)\.|[\[\]']", "", v) for v in variants]
    names = [v.replace(", ", ",").replace(" ", "\n") for v in plain]
    keys = [key for key in rules if key in set(table["claim"])]
    looks = {
        ("raw", "end"): ({"color": "#0072b2"}, "raw states"),
        ("raw", "peak"): ({"mfc": "none", "mec": "#0072b2"}, "raw states, epoch where highest"),
        ("centred", "end"): ({"color": "#e69f00"}, "input-centred states"),
        ("all", "end"): ({"color": "0.3"}, "not about a space"),
    }
    columns = 6
    figure, axes = grid_of(-(-len(keys) // columns), columns, height=0.9 + 0.26 * len(variants), panel=1.7)
    for i, (key, ax) in enumerate(zip(keys, axes.ravel(), strict=False)):
        part = table[(table["claim"] == key) & (table["model"] == "trained")]
        for (space, at), (look, _) in looks.items():
            dots = part[(part["space"] == space) & (part["at"] == at)]
            ax.plot(dots["value"], dots["variant"].map(variants.index), "o", ms=4, alpha=0.7, **look)
        _shade(ax, *rules[key])
        ax.set(ylim=(len(variants) - 0.5, -0.5), title=key.replace("_", " ").replace(" validation", "\nvalidation"))
        ax.set_yticks(range(len(variants)), names if i % columns == 0 else [""] * len(variants))
    for ax in axes.ravel()[len(keys) :]:
        ax.set_visible(False)
    shown = [look for (space, _), look in looks.items() if space in set(table["space"])]
    handles = [mpl.lines.Line2D([], [], marker="o", ls="", label=label, **look) for look, label in shown]
    figure.legend(handles=handles, loc="outside lower center", ncol=4)
    return titled(figure, "What the paper leaves open, one change at a time (shaded: where the claim holds)")


METHOD_TITLES = {
    "kmeans": "KMeans",
    "kmeans_best_start": "KMeans, start\nchosen by labels",
    "ward": "Ward\nlinkage",
    "average_linkage": "average\nlinkage",
    "spectral": "spectral",
}
DEFINITION_TITLES = {
    "matched": "matched one\nto one (paper)",
    "pairwise": "pairs",
    "bcubed": "B-cubed",
    "best_cluster": "best cluster\nof a label",
    "majority": "majority label\nof a cluster",
}


def alternatives(table: pd.DataFrame, title: str) -> Figure:
    """The highest F1 by task that any run of a table reaches, by space and method, and by definition and clusters.

    Args:
        table: alternatives.csv, or alternatives_grids.csv.
        title: says which runs these are.
    """
    figure, axes = grid_of(2, 2, height=3.6, panel=5.4)
    for row, split in zip(axes, SPLIT_TITLES, strict=True):
        part = table[table["split"] == split]
        ways = part[(part["clusters"] == 1) & (part["definition"] == "matched")]
        _heat(row[0], ways, "space", "method", SPACE_TITLES, METHOD_TITLES)
        row[0].set(title=f"{SPLIT_TITLES[split]}: space and method")
        part = part[(part["method"] == "kmeans") & part["space"].isin(("raw", "tsne"))]
        part = part.assign(way=part["space"] + part["clusters"].astype(str))
        titles = {
            f"{space}{n}": f"{SPACE_TITLES[space]}, {n} {'cluster' if n == 1 else 'clusters'} a task"
            for space in ("raw", "tsne")
            for n in sorted(part["clusters"].unique())
        }
        _heat(row[1], part, "way", "definition", titles, DEFINITION_TITLES)
        row[1].set(title=f"{SPLIT_TITLES[split]}: clusters and definition of F1, KMeans")
    return titled(figure, title)


def _heat(ax, part: pd.DataFrame, rows: str, columns: str, row_titles: dict, column_titles: dict) -> None:
    """Highest F1 of each pair, with the chance level of that same row beneath it."""
    best = part.loc[part.groupby([rows, columns])["f1"].idxmax()]
    values, chance = (
        best.pivot(index=rows, columns=columns, values=v).reindex(index=list(row_titles), columns=list(column_titles))
        for v in ("f1", "chance")
    )
    words = values.map("{:.2f}".format) + chance.map(" ({:.2f})".format)
    ax.grid(False)
    sns.heatmap(values, vmin=0, vmax=1, cmap="cividis", annot=words, fmt="", annot_kws={"size": 7}, cbar=False, ax=ax)
    ax.set_xticks(ax.get_xticks(), list(column_titles.values()), rotation=0, fontsize=7)
    ax.set_yticks(ax.get_yticks(), list(row_titles.values()), rotation=0, fontsize=7)
    ax.set(xlabel="", ylabel="")


def _shade(ax, above: float, below: float) -> None:
    """Where a claim holds."""
    for number in (above, below):
        if np.isfinite(number):
            ax.axvline(number, color="0.3", lw=0.9, ls="--")
    low, high = ax.get_xlim()
    ax.axvspan(max(low, above), min(high, below), color="#0072b2", alpha=0.07, lw=0)
    ax.set_xlim(low, high)
