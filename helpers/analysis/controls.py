"""Controls for clustering scores, none of them in the paper: chance, the input alone, the instruction's
surface alone, the input held fixed, and a linear probe.
"""

import numpy as np
import pandas as pd
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist
from sklearn.cluster import AgglomerativeClustering
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from helpers import timing
from helpers.analysis import clustering, spaces
from helpers.analysis.scores import matched_f1, score
from helpers.gpt.runs import Run
from helpers.settings import ClusteringSettings
from helpers.tables import SPLITS
from helpers.task.synthetic import Dataset

PERMUTATIONS = 20
FOLDS = 3


def surface(dataset: Dataset, settings: ClusteringSettings) -> pd.DataFrame:
    """Clusters that need no model, scored like those of hidden states.

    Controls: `input` (one cluster an input symbol), `bag_of_symbols` (KMeans on how often each symbol occurs in the
    instruction), `bag_and_input` (with the input beside it), `edit_distance` (average linkage on the Levenshtein
    distance of instructions).

    Returns:
        split, control, label, f1, ari, ami.
    """
    rows = []
    for split in SPLITS:
        frame = dataset.split(split)
        symbols = _counts(frame["instruction"])
        inputs = pd.get_dummies(frame["input"]).to_numpy(float)
        for label, truth in clustering.labels_of(frame).items():
            k = len(np.unique(truth))
            found = {
                "input": frame["input"].astype("category").cat.codes.to_numpy(),
                "bag_of_symbols": clustering.kmeans(symbols, k, settings),
                "bag_and_input": clustering.kmeans(np.hstack([symbols, inputs]), k, settings),
                "edit_distance": _by_edit_distance(frame["instruction"], k),
            }
            rows += [
                {"split": split, "control": control, "label": label, **score(truth, clusters)}
                for control, clusters in found.items()
            ]
    return pd.DataFrame(rows)


def _counts(instructions: pd.Series) -> np.ndarray:
    counter = CountVectorizer(analyzer="char", lowercase=False)
    return counter.fit_transform(instructions).toarray().astype(float)


def _by_edit_distance(instructions: pd.Series, k: int) -> np.ndarray:
    texts, place = np.unique(instructions.to_numpy(str), return_inverse=True)
    distances = cdist(texts, texts, scorer=Levenshtein.distance).astype(float)
    model = AgglomerativeClustering(min(k, len(texts)), metric="precomputed", linkage="average")
    return model.fit_predict(distances)[place]


def epochs_of_interest(run: Run) -> list[int]:
    """The logged epochs at which controls are taken: untrained, nearest to the best, last."""
    logged = run.logged_epochs
    return sorted({0, min(logged, key=lambda e: abs(e - run.best_epoch)), logged[-1]})


def of_states(run: Run, settings: ClusteringSettings) -> pd.DataFrame:
    """Controls on the hidden states of a run, for the task label, at `epochs_of_interest`.

    Controls: `permuted_f1`, `permuted_ari` (labels shuffled: chance); `layer_normed_f1` (each state scaled to mean 0
    and variance 1); `within_input_f1` (only instances of one input clustered together, mean over inputs by size) and
    `within_input_chance` (the same with labels permuted);
    `linear_probe` (cross-validated accuracy of a logistic regression on held-out instructions).

    Returns:
        width, seed, epoch, layer, split, control, value.
    """
    rows = []
    with timing.timed("controls"), threadpool_limits(1):
        for epoch in epochs_of_interest(run):
            record = run.record(epoch)
            for split in SPLITS:
                frame = run.dataset.split(split)
                for layer, states in enumerate(record.states(split)):
                    place = {"epoch": epoch, "layer": layer, "split": split}
                    values = _of_layer(states.astype(float), frame, settings)
                    rows += [place | {"control": c, "value": v} for c, v in values.items()]
    return pd.DataFrame([run.point | row for row in rows])


def _of_layer(states: np.ndarray, frame: pd.DataFrame, settings: ClusteringSettings) -> dict[str, float]:
    truth = frame["task"].to_numpy()
    points = spaces.same_distances(states)
    clusters = clustering.kmeans(points, len(np.unique(truth)), settings)
    rng = np.random.default_rng(0)
    permuted = pd.DataFrame([score(rng.permutation(truth), clusters) for _ in range(PERMUTATIONS)])
    normed = spaces.layer_normed(states)
    return {
        "permuted_f1": permuted["f1"].mean(),
        "permuted_ari": permuted["ari"].mean(),
        "layer_normed_f1": matched_f1(
            truth, clustering.kmeans(spaces.same_distances(normed), len(np.unique(truth)), settings)
        ),
        **within_input_f1(states, frame, settings, rng),
        "linear_probe": linear_probe(states, truth, frame["instruction_id"].to_numpy()),
    }


def within_input_f1(
    states: np.ndarray, frame: pd.DataFrame, settings: ClusteringSettings, rng: np.random.Generator
) -> dict[str, float]:
    """Matched F1 of clusters by task among the instances of one input, averaged over inputs by their instances.

    Groups are small, so that chance is high: it is given beside.

    Returns:
        within_input_f1, and within_input_chance, the same with labels permuted in each group. Inputs that occur under
        one task alone are left out; NaN where none is left.
    """
    scores, chance, sizes = [], [], []
    for _, members in frame.groupby("input").indices.items():
        truth = frame["task"].to_numpy()[members]
        if (k := len(np.unique(truth))) > 1:
            clusters = clustering.kmeans(spaces.same_distances(states[members]), k, settings)
            scores.append(matched_f1(truth, clusters))
            permuted = [matched_f1(rng.permutation(truth), clusters) for _ in range(PERMUTATIONS)]
            chance.append(np.mean(permuted))
            sizes.append(len(members))
    means = [float(np.average(v, weights=sizes)) if sizes else float("nan") for v in (scores, chance)]
    return dict(zip(("within_input_f1", "within_input_chance"), means, strict=True))


def linear_probe(points: np.ndarray, truth: np.ndarray, instructions: np.ndarray) -> float:
    """Accuracy of a logistic regression for the task, on instructions that it was not fitted to.

    Args:
        points: (N, D).
        truth, instructions: (N,) task and instruction of each.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    predicted = cross_val_predict(model, points, truth, groups=instructions, cv=folds)
    return float((predicted == truth).mean())
