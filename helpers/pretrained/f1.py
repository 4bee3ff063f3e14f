"""Which F1 Table 1 prints: the one that stands to the ARI and AMI beside it as it does in clusterings of our own.

The paper does not say how its F1 tells which cluster is which label. Here clusterings of many qualities are made from a
model's own states, by layer, by noise added to the states and by KMeans' start. In them the relation of each definition
of F1 to ARI and AMI is learned, and asked what F1 it expects beside the ARI and AMI of the paper's five rows.
"""

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from threadpoolctl import threadpool_limits

from helpers.analysis import clustering
from helpers.analysis.alternatives import DEFINITIONS
from helpers.device import cores
from helpers.pretrained.loading import PAPER_MODELS
from helpers.pretrained.probe import Probe
from helpers.pretrained.table1 import can_be_told, labels_of
from helpers.settings import ClusteringSettings
from helpers.tables import LABELS

NOISE = (0.0, 0.1, 0.2, 0.4, 0.8)  # standard deviations of what is added, in those of the states
STARTS = 2
DIMENSIONS = 64  # principal components: the clusterings need to be many and plausible, not those of Table 1


def clusterings(probe: Probe, layers: list[int], noise: tuple[float, ...] = NOISE, jobs: int | None = None):
    """Scores of KMeans on states of some layers, with noise added to them.

    Returns:
        A row a layer, noise, start and label: these, ari, ami and each of alternatives.DEFINITIONS.
    """
    labels = {name: truth for name, truth in labels_of(probe.instances).items() if can_be_told(truth)}
    work = (delayed(_of_layer)(probe.states(layer), labels, layer, noise) for layer in layers)
    rows = [row for part in Parallel(n_jobs=jobs or cores(), inner_max_num_threads=1)(work) for row in part]
    return pd.DataFrame(rows)


def _of_layer(states: np.ndarray, labels: dict[str, np.ndarray], layer: int, noise: tuple[float, ...]) -> list[dict]:
    rows = []
    rng = np.random.default_rng(layer)
    with threadpool_limits(1):
        size = min(DIMENSIONS, *states.shape)
        points = PCA(size, svd_solver="randomized", random_state=0).fit_transform(states)
        for level in noise:
            noisy = points + rng.normal(0, level * points.std(), points.shape)
            for start in range(STARTS):
                settings = ClusteringSettings(n_init=1, seed=start)
                for name, truth in labels.items():
                    found = clustering.kmeans(noisy, len(np.unique(truth)), settings)
                    scores = clustering.scores(truth, found)
                    scores |= {d: measure(truth, found) for d, measure in DEFINITIONS.items()}
                    rows.append({"layer": layer, "noise": level, "start": start, "label": name} | scores)
    return rows


def expected(found: pd.DataFrame) -> pd.DataFrame:
    """What each definition of F1 would be beside the ARI and AMI of Table 1's rows.

    Args:
        found: from `clusterings`.

    Returns:
        f1_definitions.csv: definition, label, model, printed (the paper's F1), expected, error (root mean square of the
        relation itself on layers that it was not learned from).
    """
    rows = []
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
    squared = (table["printed"] - table["expected"]) ** 2
    by = squared.groupby([table["definition"], table["label"]], sort=False).mean().unstack()[list(LABELS)] ** 0.5
    return by.assign(all=(squared.groupby(table["definition"]).mean()) ** 0.5).sort_values("all")
