"""Which F1 Table 1 prints: the one that stands to the ARI and AMI beside it as it does in clusterings of our own.

The paper does not say how its F1 tells which cluster is which label. Here clusterings of many qualities are made from a
model's own states, by layer, by KMeans' start, and by moving a part of the points to their label's cluster (better) or
to any cluster (worse). In them the relation of each definition of F1 to ARI and AMI is learned, and asked what F1 it
expects beside the ARI and AMI of the paper's five rows.
"""

import itertools

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.metrics.cluster import contingency_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from threadpoolctl import threadpool_limits

from helpers.analysis import clustering
from helpers.analysis.scores import DEFINITIONS, score
from helpers.device import processes
from helpers.pretrained.paper_models import PAPER_MODELS
from helpers.pretrained.probe import Probe
from helpers.pretrained.table1 import can_be_told, natural_labels
from helpers.settings import ClusteringSettings
from helpers.tables import LABELS, columns

MOVED = (0.0, 0.2, 0.4, 0.6, 0.8, 0.95)  # shares of the points
STARTS = 2
DIMENSIONS = 64  # principal components: the clusterings need to be many and plausible, not those of Table 1


def some_layers(layers: int, count: int = 6) -> list[int]:
    """Layers above the embeddings, evenly spread."""
    return sorted({round(i) for i in np.linspace(1, layers - 1, count)})


def clusterings(probe: Probe, layers: list[int], jobs: int | None = None) -> pd.DataFrame:
    """Scores of KMeans on states of some layers, made better and worse.

    Returns:
        A row a layer, start, label, direction (right or anywhere) and share of points moved: these, ari, ami and each
        of scores.DEFINITIONS.
    """
    labels = {name: truth for name, truth in natural_labels(probe.instances).items() if can_be_told(truth)}
    work = (delayed(_of_layer)(probe.states(layer), labels, layer) for layer in layers)
    jobs = processes(len(layers) * len(probe.instances), jobs)
    rows = [row for part in Parallel(n_jobs=jobs, inner_max_num_threads=1)(work) for row in part]
    return pd.DataFrame(rows)


def _of_layer(states: np.ndarray, labels: dict[str, np.ndarray], layer: int) -> list[dict]:
    rows = []
    with threadpool_limits(1):
        size = min(DIMENSIONS, *states.shape)
        points = PCA(size, svd_solver="randomized", random_state=0).fit_transform(states)
        for start, (name, truth) in itertools.product(range(STARTS), labels.items()):
            settings = ClusteringSettings(n_init=1, seed=start)
            found = clustering.kmeans(points, len(np.unique(truth)), settings)
            for direction, share, moved in _moved(truth, found, np.random.default_rng([layer, start])):
                scores = score(truth, moved)
                scores |= {d: measure(truth, moved) for d, measure in DEFINITIONS.items()}
                place = {"layer": layer, "start": start, "label": name, "direction": direction, "moved": share}
                rows.append(place | scores)
    return rows


def _moved(truth: np.ndarray, found: np.ndarray, rng: np.random.Generator):
    """(direction, share, clusters): with more and more points in their label's cluster, or anywhere."""
    table = contingency_matrix(truth, found)
    matched = dict(zip(*linear_sum_assignment(table, maximize=True), strict=True))
    names, numbers = np.unique(found), np.unique(truth, return_inverse=True)[1]
    right = np.array([names[matched[n]] if n in matched else was for n, was in zip(numbers, found, strict=True)])
    anywhere = rng.integers(0, found.max() + 1, len(found))
    order = rng.random(len(found))
    for share in MOVED:
        yield "right", share, np.where(order < share, right, found)
        if share:
            yield "anywhere", share, np.where(order < share, anywhere, found)


def expected(found: pd.DataFrame) -> pd.DataFrame:
    """What each definition of F1 would be beside the ARI and AMI of Table 1's rows.

    Args:
        found: from `clusterings`.

    Returns:
        f1_definitions.csv: definition, label, model, printed (the paper's F1), expected, error (root mean square of the
        relation itself on layers that it was not learned from). No rows where no label can be told.
    """
    rows = []
    if found.empty:
        return pd.DataFrame(columns=columns("f1_definitions"))
    for label, mine in found.groupby("label", sort=False):
        printed = pd.DataFrame([getattr(m, label) for m in PAPER_MODELS], columns=["f1", "ari", "ami"])
        for definition in DEFINITIONS:
            guesses = _relation(mine, definition).predict(printed[["ari", "ami"]].to_numpy())
            error = _error(mine, definition)
            rows += [
                {
                    "definition": definition,
                    "label": label,
                    "model": m.name,
                    "printed": f1,
                    "expected": guess,
                    "error": error,
                }
                for m, f1, guess in zip(PAPER_MODELS, printed["f1"], np.clip(guesses, 0, 1), strict=True)
            ]
    return pd.DataFrame(rows)


def _relation(found: pd.DataFrame, definition: str):
    """F1 as a polynomial of third degree in ARI and AMI."""
    model = make_pipeline(StandardScaler(), PolynomialFeatures(3), RidgeCV(np.logspace(-6, 1, 15)))
    return model.fit(found[["ari", "ami"]].to_numpy(), found[definition])


def _error(found: pd.DataFrame, definition: str) -> float:
    missed = []
    for layer in found["layer"].unique():
        others, held_out = found[found["layer"] != layer], found[found["layer"] == layer]
        guesses = _relation(others, definition).predict(held_out[["ari", "ami"]].to_numpy())
        missed.append(guesses - held_out[definition])
    return float(np.sqrt(np.mean(np.concatenate(missed) ** 2)))


def fit(table: pd.DataFrame) -> pd.DataFrame:
    """Root mean square of printed less expected: a row a definition, a column a label, the best first."""
    if table.empty:
        return table
    squared = (table["printed"] - table["expected"]) ** 2
    labels = [name for name in LABELS if name in set(table["label"])]
    by = squared.groupby([table["definition"], table["label"]], sort=False).mean().unstack()[labels] ** 0.5
    return by.assign(all=(squared.groupby(table["definition"]).mean()) ** 0.5).sort_values("all")
