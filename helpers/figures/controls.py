"""Figures of what scores are compared with: chance, appearance, other ways to cluster, states that are moved."""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from helpers.figures.style import SPACE_TITLES, SPLIT_TITLES, grid_of, runs_and_bands, titled
from helpers.rows import runs_in

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
        surface: surface.csv, whose F1s of this width are drawn as levels.
        width: hidden dimension to show.
    """
    figure, (axes,) = grid_of(1, 2, height=3.6)
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
        mine = (surface["width"] == width) & (surface["split"] == split)
        chosen = surface[mine & (surface["label"] == "task")]
        for name, style in levels.items():
            level = chosen.loc[chosen["control"] == name, "f1"].mean()
            label = f"F1, {name.replace('_', ' ')} alone" if ax is axes[0] else None
            ax.axhline(level, color="0.4", ls=style, lw=1, label=label)
        ax.set(ylim=(-0.03, 1.03), xlabel="layer", title=SPLIT_TITLES[split])
    axes[0].set_ylabel("F1 by task, or accuracy")
    figure.legend(loc="outside lower center", ncol=3)
    title = "How well chance, the input, symbols and hidden states give away the task"
    return titled(figure, title, runs_in(table, width))


DIRECTION_TITLES = {
    "task_and_input": "to the other task's mean for this input",
    "task": "along the difference of task means (inputs removed)",
    "random": "as far in a random direction",
}


def interventions(table: pd.DataFrame, width: int) -> Figure:
    """Answers that follow a moved state, and answers that stay, by layer and direction.

    Args:
        table: interventions.csv.
        width: hidden dimension to show.
    """
    figure, (axes,) = grid_of(1, 2, height=2.9)
    chosen = table[table["width"] == width]
    for column, title, ax in (
        ("became_other", "Answer becomes the other task's", axes[0]),
        ("stayed", "Answer stays", axes[1]),
    ):
        for (direction, label), colour in zip(DIRECTION_TITLES.items(), ("#0072b2", "#009e73", "0.5"), strict=True):
            part = chosen[chosen["direction"] == direction].groupby("layer")[column]
            mean = part.mean()
            ax.plot(mean.index, mean, "o-", ms=4, color=colour, label=label if ax is axes[0] else None)
            if chosen["seed"].nunique() > 1:
                ax.fill_between(mean.index, part.min(), part.max(), color=colour, alpha=0.15, lw=0)
        ax.set(ylim=(-0.03, 1.03), xlabel="layer at which the state is moved", title=title)
    figure.legend(loc="outside lower center", ncol=1)
    title = "Does the answer follow a state that is moved towards another task?"
    return titled(figure, title, f"{runs_and_bands(chosen)}; unseen instances that the model solves")


METHOD_TITLES = {
    "kmeans": "KMeans",
    "kmeans_best_start": "KMeans, start\nchosen by labels",
    "ward": "Ward\nlinkage",
    "average_linkage": "average\nlinkage",
    "spectral": "spectral",
}
DEFINITION_TITLES = {
    "matched": "matched one\nto one",
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
    figure, axes = grid_of(2, 2, height=2.6)
    for column, split in enumerate(SPLIT_TITLES):
        part = table[table["split"] == split]
        ways = part[(part["clusters"] == 1) & (part["definition"] == "matched")]
        _heat(axes[0][column], ways, "space", "method", SPACE_TITLES, METHOD_TITLES)
        axes[0][column].set(title=f"{SPLIT_TITLES[split]}: space and method")
        part = part[(part["method"] == "kmeans") & part["space"].isin(("raw", "tsne"))]
        part = part.assign(way=part["space"] + part["clusters"].astype(str))
        titles = {
            f"{space}{n}": f"{SPACE_TITLES[space]},\n{n} {'cluster' if n == 1 else 'clusters'} a task"
            for space in ("raw", "tsne")
            for n in sorted(part["clusters"].unique())
        }
        _heat(axes[1][column], part, "way", "definition", titles, DEFINITION_TITLES)
        axes[1][column].set(title=f"{SPLIT_TITLES[split]}: clusters and kind of F1")
    for line in axes:
        line[1].set_yticklabels([])
    return titled(figure, title, runs_in(table))


def _heat(ax, part: pd.DataFrame, rows: str, columns: str, row_titles: dict, column_titles: dict) -> None:
    """Highest F1 of each pair, with the chance level of that same row beneath it."""
    best = part.loc[part.groupby([rows, columns])["f1"].idxmax()]
    values, chance = (
        best.pivot(index=rows, columns=columns, values=v).reindex(index=list(row_titles), columns=list(column_titles))
        for v in ("f1", "chance")
    )
    words = values.map("{:.2f}".format) + chance.map(" ({:.2f})".format)
    ax.grid(False)
    sns.heatmap(values, vmin=0, vmax=1, cmap="cividis", annot=words, fmt="", annot_kws={"size": 5.6}, cbar=False, ax=ax)
    ax.set_xticks(ax.get_xticks(), list(column_titles.values()), rotation=45, fontsize=6)
    ax.set_yticks(ax.get_yticks(), list(row_titles.values()), rotation=0, fontsize=6.5)
    ax.set(xlabel="", ylabel="")
