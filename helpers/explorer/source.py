"""A training run or a probed language model as the explorer sees it, without widgets.

A source gives instances, and for every evaluation set, moment (an epoch, or a revision of a pretrained model), layer
and space (raw or input-centred) their hidden states, points in the plane, clusters, scores and neighbours. It reads
only what is asked for, and keeps projections in the folder `explorer` beside the states.
"""

import abc
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from sklearn.metrics.cluster import contingency_matrix

from helpers import fingerprint, store
from helpers.analysis import clustering, spaces
from helpers.analysis.scores import score
from helpers.explorer import projections
from helpers.settings import ClusteringSettings, digest
from helpers.tables import SCORES

COLOURS = {
    "task": "task", "distribution": "distribution", "mapping": "mapping",
    "distribution_mapping": "distribution and mapping", "input": "input", "output": "output",
    "cluster": "cluster found by KMeans", "correct": "answered rightly", "kind": "hard, original or unseen",
}  # fmt: skip
NEIGHBOURS = 10


class Source(abc.ABC):
    """A run or a probe, as the explorer sees it; see RunSource and ProbeSource.

    Attributes:
        name: for people.
        folder: of the artefacts.
        splits: evaluation sets, key -> words.
        moment_name: epoch or revision.
        moments: the recorded ones, in order.
        layers: how many, the embedding output (0) included.
        note: what a reader must know (still in training, ...), or empty.
    """

    name: str
    folder: Path
    splits: dict[str, str]
    moment_name: str
    moments: list
    layers: int
    note: str = ""
    restarts = 10  # of KMeans

    @abc.abstractmethod
    def frame(self, split: str) -> pd.DataFrame:
        """Instances of a set, as people read them: instruction, input, output, task, distribution, mapping, ..."""

    @abc.abstractmethod
    def labels(self, split: str) -> dict[str, np.ndarray]:
        """Label numbers (N,) under the paper's three identities."""

    @abc.abstractmethod
    def states(self, split: str, moment, layer: int, space: str = "raw") -> np.ndarray:
        """Hidden states (N, D) float32."""

    @abc.abstractmethod
    def answers(self, split: str, moment) -> pd.DataFrame:
        """What the model answers: columns answer (where it was recorded) and correct."""

    @abc.abstractmethod
    def neighbours(self, split: str, moment, layer: int, row: int, k: int = NEIGHBOURS) -> pd.DataFrame:
        """The nearest instances of another instruction, nearest first: distance, task, input, output, instruction."""

    def values(self, by: str, split: str, moment) -> np.ndarray:
        """What instances are coloured by (N,), of any kind that compares.

        Args:
            by: one of COLOURS but cluster, which KMeans has to find first; where a source has no such column, all
                instances have one value.
        """
        if by == "correct":
            return np.where(self.answers(split, moment)["correct"], "right", "wrong")
        if by == "distribution_mapping":
            return self.labels(split)[by]
        frame = self.frame(split)
        return frame[by].to_numpy() if by in frame else np.zeros(len(frame), dtype=int)

    def known_scores(self) -> pd.DataFrame:
        """Scores that an analysis left: split, moment, layer, space, label, f1, ari, ami."""
        return pd.DataFrame(columns=["split", "moment", "layer", "space", "label", *SCORES])

    def coordinates(self, split: str, layer: int, space: str, method: str, progress: Callable = lambda done: None):
        """Points in the plane at every moment, comparable over moments (see projections), in one square.

        Returns:
            (moments, N, 2) float32 between -1 and 1.
        """
        path = self._coordinates_path(split, layer, space, method)
        if known := store.known_tensors(path):
            return known["points"]
        if method == "pca":
            found = projections.pca(lambda: (self.states(split, m, layer, space) for m in self.moments))
        else:
            backwards = (self.states(split, m, layer, space) for m in reversed(self.moments))
            found = projections.tsne(backwards, progress=progress)[::-1]
        points = projections.to_square(found)
        store.write_tensors(path, {"points": points})
        return points

    def has_coordinates(self, split: str, layer: int, space: str, method: str) -> bool:
        """Whether `coordinates` need not be computed."""
        return self._coordinates_path(split, layer, space, method).exists()

    def _coordinates_path(self, split: str, layer: int, space: str, method: str) -> Path:
        code = fingerprint.of_code(*fingerprint.closure({"explorer.run_source", "explorer.probe_source"}))
        key = digest([[str(m) for m in self.moments], code])
        return self.folder / "explorer" / f"{method}-{split}-{space}-layer{layer}-{key}.safetensors"

    @functools.lru_cache(maxsize=256)  # noqa: B019 (a source lives as long as the notebook)
    def clusters(self, split: str, moment, layer: int, space: str, k: int) -> np.ndarray:
        """Cluster numbers (N,) of KMeans in the full space."""
        points = spaces.same_distances(self.states(split, moment, layer, space).astype(float))
        return clustering.kmeans(points, k, ClusteringSettings(n_init=self.restarts))

    def numbered(self, split: str, moment, layer: int, space: str, k: int) -> np.ndarray:
        """As `clusters`, with numbers matched to those of the last moment: see same_numbers."""
        last = self.clusters(split, self.moments[-1], layer, space, k)
        return same_numbers(self.clusters(split, moment, layer, space, k), last)

    @functools.lru_cache(maxsize=4096)  # noqa: B019
    def scores(self, split: str, moment, layer: int, space: str, label: str) -> dict[str, float]:
        """F1, ARI and AMI of KMeans with as many clusters as labels; read from the last analysis if there is one."""
        known = self._known
        place = (split, moment, layer, space, label)
        if place in known:
            return known[place]
        truth = self.labels(split)[label]
        return score(truth, self.clusters(split, moment, layer, space, len(np.unique(truth))))

    def knows_scores(self, split: str, layer: int, space: str, label: str) -> bool:
        """Whether the scores of every moment are there already."""
        return all((split, m, layer, space, label) in self._known for m in self.moments)

    @functools.cached_property
    def _known(self) -> dict[tuple, dict[str, float]]:
        return {
            (r.split, r.moment, r.layer, r.space, r.label): {"f1": r.f1, "ari": r.ari, "ami": r.ami}
            for r in self.known_scores().itertuples()
        }

    def curve(self, split: str, layer: int, space: str, label: str, score: str) -> pd.Series:
        """A score at every moment; of a source with one moment, at every layer, NaN where no analysis computed it."""
        if len(self.moments) > 1:
            return pd.Series({m: self.scores(split, m, layer, space, label)[score] for m in self.moments})
        only, known = self.moments[0], self._known
        found = {n: known.get((split, only, n, space, label), {}).get(score, np.nan) for n in range(self.layers)}
        return pd.Series(found | {layer: self.scores(split, only, layer, space, label)[score]})

    def neighbour_history(self, split: str, layer: int, row: int, k: int = NEIGHBOURS) -> pd.DataFrame:
        """How many of the k nearest neighbours of one instance are like it, at every moment.

        Returns:
            moment, same_task, same_output, stay: shares of the k; `stay` counts those that are also among the k
            nearest at the last moment.
        """
        frame = self.frame(split).iloc[row]
        found = {m: self.neighbours(split, m, layer, row, k) for m in self.moments}
        last = set(found[self.moments[-1]].index)
        return pd.DataFrame(
            [
                {
                    "moment": m,
                    "same_task": (near["task"] == frame["task"]).mean(),
                    "same_output": (near["output"] == frame["output"]).mean(),
                    "stay": len(last & set(near.index)) / max(len(last), 1),
                }
                for m, near in found.items()
            ]
        )

    def columns(self, split: str, moment, layer: int, space: str, k: int) -> pd.DataFrame:
        """Instances with the model's answers and the clusters: the table behind `explorer.selection`."""
        return self.frame(split).assign(
            **self.answers(split, moment), cluster=self.numbered(split, moment, layer, space, k)
        )


def selection_scores(labels: dict[str, np.ndarray], clusters: np.ndarray, rows: np.ndarray) -> pd.DataFrame:
    """F1, ARI and AMI of the clusters of some instances against their labels.

    Args:
        labels: label numbers (N,) under each identity.
        clusters: (N,) cluster numbers.
        rows: which instances.

    Returns:
        One row an identity; empty for fewer than two instances.
    """
    if len(rows) < 2:
        return pd.DataFrame(columns=SCORES)
    found = {name: score(truth[rows], clusters[rows]) for name, truth in labels.items()}
    return pd.DataFrame(found).T[list(SCORES)]


def matching(frame: pd.DataFrame, text: str) -> np.ndarray:
    """Rows whose instruction contains `text`; none for an empty one."""
    if not text:
        return np.array([], dtype=int)
    return np.flatnonzero(frame["instruction"].str.contains(text, regex=False))


def same_numbers(clusters: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Clusters renumbered so that as many instances as possible keep the number that they have in `reference`."""
    table = contingency_matrix(clusters, reference)
    rows, columns = linear_sum_assignment(-table)
    numbers, targets = np.unique(clusters), np.unique(reference)
    new = dict(zip(numbers[rows], targets[columns], strict=True))
    free = iter(n for n in range(len(numbers) + len(targets)) if n not in set(new.values()))
    return np.array([new[c] if c in new else new.setdefault(c, next(free)) for c in clusters])
