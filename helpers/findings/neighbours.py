"""Notebook 04: whether nearest neighbours solve unseen instances."""

import pandas as pd

from helpers.findings.words import (
    at_end,
    changes,
    highest,
    mean_over_seeds,
    paragraphs,
    percent,
    two,
    width_title,
    widths,
)


def answer(table: pd.DataFrame, k: int) -> str:
    """KNN accuracy and the share of neighbours with the same task, best layer, for each width.

    Args:
        table: neighbours.csv.
        k: number of neighbours.
    """
    return paragraphs(_solved(table, width, k) for width in widths(table))


def _solved(table: pd.DataFrame, width: int, k: int) -> str:
    mean = mean_over_seeds(table, width)
    mean = mean[mean["k"] == k]
    best = mean.groupby("epoch")[["same_task", "accuracy"]].max()
    layer0 = at_end(mean[mean["layer"] == 0]).iloc[0]
    return (
        f"**{width_title(table, width)}: a vote of the {k} nearest training states solves "
        f"{percent(best['accuracy'].iloc[-1])} of unseen instances at the last epoch** (best layer), "
        f"{_untrained(*best['accuracy'].iloc[[0, -1]])}, and {percent(layer0['accuracy'])} at layer 0, "
        "which sees the input alone. The share of neighbours with the same task "
        f"{changes(best['same_task'].iloc[0], best['same_task'].iloc[-1])}."
    )


def _untrained(before: float, after: float) -> str:
    """The accuracy before any training, and that it is the same where it is."""
    if percent(before) == percent(after):
        return f"as well as before any training ({percent(before)})"
    return f"{percent(before)} before any training"


def figure(table: pd.DataFrame, width: int, k: int) -> str:
    """What `figures.neighbours` shows of one width: from layer to layer at the last epoch."""
    end = mean_over_seeds(table, width)
    end = at_end(end[end["k"] == k]).set_index("layer")
    accuracy, share = end["accuracy"], end["same_task"]
    return (
        f"At the last epoch KNN accuracy {changes(accuracy[0], accuracy.iloc[-1])} from layer 0 to layer "
        f"{end.index.max()} and is highest at layer {accuracy.idxmax()}; the share with the same task "
        f"{changes(share[0], share.iloc[-1])} and is highest at layer {share.idxmax()}."
    )


def sensitivity(table: pd.DataFrame, width: int) -> str:
    """What `figures.neighbour_sensitivity` shows of one width: the best layer by number of neighbours."""
    end = at_end(mean_over_seeds(table, width))
    best = end.groupby("k")[["same_task", "accuracy"]].max()
    few, many = best.index.min(), best.index.max()
    top = highest(best.reset_index(), "accuracy")
    return (
        f"From K = {few} to {many} the best layer's accuracy "
        f"{changes(best.loc[few, 'accuracy'], best.loc[many, 'accuracy'])}, and its share of neighbours with the "
        f"same task {changes(best.loc[few, 'same_task'], best.loc[many, 'same_task'])}. Accuracy is highest, "
        f"{two(top['accuracy'])}, with K = {int(top['k'])}."
    )


def by_layer(table: pd.DataFrame, k: int, best: dict[int, dict[int, int]]) -> pd.DataFrame:
    """Both measures by layer: untrained, at the logged epoch nearest to the best one, and at the end.

    Args:
        table: neighbours.csv.
        k: number of neighbours.
        best: width -> seed -> early-stopping epoch.
    """
    rows = []
    for (width, seed), run in table[table["k"] == k].groupby(["width", "seed"], sort=False):
        logged = sorted(run["epoch"].unique())
        nearest = min(logged, key=lambda epoch: abs(epoch - best[width][seed]))
        for epoch in dict.fromkeys([0, nearest, logged[-1]]):
            at = run[run["epoch"] == epoch].set_index("layer")
            place = {"width": width, "seed": seed, "epoch": int(epoch)}
            rows += [place | {"measure": m} | at[m].add_prefix("layer ").to_dict() for m in ("same_task", "accuracy")]
    return pd.DataFrame(rows)
