"""Clusters by task beside accuracy over training, and what KMeans tells apart (table course)."""

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_mutual_info_score

from helpers.analysis.scores import rounded
from helpers.analysis.variance import MAIN

FADED = 0.05  # a fall of F1 by task from its highest that counts; seeds of KMeans and t-SNE alone make smaller ones
GOOD = 0.9  # accuracy from which a model is said to solve instances


def row(f1: float, clusters: np.ndarray, frame: pd.DataFrame, shares: dict[str, float]) -> dict[str, float]:
    """What the table holds of one layer in one space.

    Args:
        f1: of the clusters with tasks.
        clusters: (N,) of KMeans with as many clusters as tasks.
        frame: the N instances.
        shares: of the layer's variance, from `variance.Parts.of`.
    """
    return {"f1": f1} | agreement(clusters, frame) | {f"share_{name}": shares[name] for name in MAIN}


def agreement(clusters: np.ndarray, frame: pd.DataFrame) -> dict[str, float]:
    """Adjusted mutual information of clusters (N,) with task, input and output: what they tell apart."""
    return {f"sees_{name}": rounded(adjusted_mutual_info_score(frame[name], clusters)) for name in MAIN}


def with_accuracy(rows: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """The rows of a run with the accuracy on their split at their epoch.

    Args:
        history: of the run: epoch, accuracy_subset, accuracy_validation.
    """
    by_epoch = history.set_index("epoch")
    found = [by_epoch.at[epoch, f"accuracy_{split}"] for epoch, split in zip(rows["epoch"], rows["split"], strict=True)]
    return rows.assign(accuracy=found)


def _of_a_run(table: pd.DataFrame) -> list[str]:
    """The columns that tell the runs of a table apart."""
    return [c for c in ("grid", "run", "variant", "width", "seed", "reading") if c in table]


def highest(course: pd.DataFrame) -> pd.DataFrame:
    """At each epoch of each run, split and space: the row of the layer above the embeddings with the highest F1."""
    by = _of_a_run(course)
    above = course[course["layer"] > 0].reset_index(drop=True)
    best = above.groupby([*by, "split", "space", "epoch"], sort=False, dropna=False)["f1"].idxmax()
    return above.loc[best].reset_index(drop=True)


def fading(course: pd.DataFrame) -> pd.DataFrame:
    """For each run, split and space: the highest F1 by task, when, at what accuracy; and both at the last epoch.

    Args:
        course: from `highest`.

    Returns:
        The run's columns, split, space, epoch, f1, accuracy, last_epoch, last_f1, last_accuracy, and course: `rises`
        (no more than FADED below its highest at the end), or `fades`.
    """
    by = _of_a_run(course)
    rows = []
    for place, part in course.groupby([*by, "split", "space"], sort=False, dropna=False):
        part = part.sort_values("epoch")
        best, last = part.loc[part["f1"].idxmax()], part.iloc[-1]
        rows.append(
            dict(zip([*by, "split", "space"], place, strict=True))
            | {name: best[name] for name in ("epoch", "f1", "accuracy")}
            | {f"last_{name}": last[name] for name in ("epoch", "f1", "accuracy")}
            | {"course": "fades" if best["f1"] - last["f1"] > FADED else "rises"}
        )
    return pd.DataFrame(rows)


def beside(own: pd.DataFrame, grids: pd.DataFrame | None) -> pd.DataFrame:
    """The runs of course.csv at their highest layers, and other seeds and readings of course_grids.csv where it is.

    A run that stands in several places is taken from the one that has more epochs of it: course.csv before grids.
    """
    mine = highest(own)
    if grids is None:
        return mine
    theirs = grids[grids["grid"].isin(("seeds", "readings"))]
    every = pd.concat([mine.assign(grid=""), theirs[[*mine, "grid"]]], ignore_index=True)
    run = ["width", "seed", "reading"]
    last = every.groupby([*run, "grid"])["epoch"].max().reset_index()
    longest = last.sort_values(["epoch", "grid"], ascending=[False, True]).drop_duplicates(run)
    return every.merge(longest[[*run, "grid"]]).drop(columns="grid")
