"""Pretrained models in pictures (section 3.4)."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from helpers.figures.style import (
    LABEL_TITLES,
    MANY,
    METRIC_TITLES,
    grid_of,
    layer_colours,
    layer_legend,
    palette,
    titled,
)


def llm_layers(table: pd.DataFrame) -> Figure:
    """Every score of pretrained models by layer, one column an identity, one colour a model and revision.

    Args:
        table: llm_layers.csv.
    """
    metrics = tuple(METRIC_TITLES)
    figure, axes = grid_of(len(metrics), len(LABEL_TITLES), height=1.7)
    raw = table[table["space"] == "raw"].assign(name=lambda t: t["model"] + " " + t["revision"])
    for metric, line in zip(metrics, axes, strict=True):
        for label, ax in zip(LABEL_TITLES, line, strict=True):
            sns.lineplot(
                data=raw[raw["label"] == label], x="layer", y=metric, hue="name", palette="colorblind",
                marker="o", ms=4, mec="none", ax=ax, legend=ax is axes[-1][-1], errorbar=None,
            )  # fmt: skip
            ax.set(ylim=(-0.03, 1.03), ylabel=METRIC_TITLES[metric] if label == "task" else "")
            ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
            if metric == metrics[0]:
                ax.set_title({"task": "Task (category)"}.get(label, LABEL_TITLES[label]))
    axes[-1][-1].get_legend().set_title(None)
    return titled(figure, "How well KMeans finds categories, tasks and mappings in pretrained models' states")


def llm_revisions(table: pd.DataFrame) -> Figure:
    """Clustering of one model over its revisions (checkpoints of pretraining), one line a layer.

    Args:
        table: the rows of llm_layers.csv of one model, its revisions in the order to draw them.
    """
    metrics = tuple(METRIC_TITLES)
    figure, axes = grid_of(len(metrics), len(LABEL_TITLES), height=1.7)
    raw = table[table["space"] == "raw"]
    names = list(dict.fromkeys(raw["revision"]))
    raw = raw.assign(place=raw["revision"].map(names.index))
    for metric, line in zip(metrics, axes, strict=True):
        for label, ax in zip(LABEL_TITLES, line, strict=True):
            sns.lineplot(
                data=raw[raw["label"] == label], x="place", y=metric, hue="layer", palette=layer_colours(raw["layer"]),
                marker="o", ms=3, lw=1, mec="none", ax=ax, legend=False, errorbar=None,
            )  # fmt: skip
            ax.set(ylim=(-0.03, 1.03), xlabel="", ylabel=METRIC_TITLES[metric] if label == "task" else "")
            ax.set_xticks(range(len(names)), names if metric == metrics[-1] else [""] * len(names), rotation=45)
            if metric == metrics[0]:
                ax.set_title({"task": "Task (category)"}.get(label, LABEL_TITLES[label]))
    layer_legend(figure, raw["layer"].unique(), best=False)
    return titled(figure, f"How clusters in the states of {table['model'].iloc[0]} grow over its revisions")


def llm_map(points: np.ndarray, instances: pd.DataFrame, solved: np.ndarray, title: str) -> Figure:
    """A map of one layer's states, coloured by category, by task, and by whether the model solves the instance.

    Args:
        points: (K, 2).
        instances: K rows with category and task.
        solved: (K,) bool.
    """
    figure, (axes,) = grid_of(1, 3, height=4.0)
    frame = instances.assign(x=points[:, 0], y=points[:, 1], solved=np.where(solved, "solved", "not solved"))
    for ax, hue, colours in (
        (axes[0], "category", "colorblind"),
        (axes[1], "task", list(palette(instances["task"].nunique()))),
        (axes[2], "solved", {"solved": "#0072b2", "not solved": "#d55e00"}),
    ):
        sns.scatterplot(
            data=frame, x="x", y="y", hue=hue, palette=colours, s=9, linewidth=0, ax=ax, rasterized=len(frame) > MANY
        )
        name = {"category": "By category", "task": "By task", "solved": "By whether the model solves it"}[hue]
        ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
        ax.set_title(name, fontsize=8)
        ax.spines[:].set_visible(False)
        ax.set_box_aspect(1)
        ax.set_anchor("N")
        ax.legend(fontsize=5.5, markerscale=2, loc="upper left", bbox_to_anchor=(0, -0.02), ncol=1)
    return titled(figure, f"t-SNE map of hidden states: {title}")


def llm_neighbours(table: pd.DataFrame) -> Figure:
    """Neighbours of held-out instructions by layer: same task, same category, voting accuracy."""
    figure, (axes,) = grid_of(1, 3, height=2.0)
    named = table.assign(name=table["model"] + " " + table["revision"])
    panels = {
        "same_task": "Share with the same task",
        "same_category": "Share with the same category",
        "accuracy": "KNN accuracy",
    }
    for ax, (column, title) in zip(axes, panels.items(), strict=True):
        sns.lineplot(
            data=named, x="layer", y=column, hue="name", palette="colorblind", marker="o", ms=4, mec="none", ax=ax,
            legend=ax is axes[-1], errorbar=None,
        )  # fmt: skip
        ax.set(ylim=(-0.03, 1.03), ylabel="", title=title)
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    axes[-1].get_legend().set_title(None)
    k = table["k"].iloc[0]
    return titled(figure, f"Do a held-out instruction's {k} nearest states share its task and answer?")
