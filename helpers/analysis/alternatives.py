"""Other ways to look for clusters by task: other spaces, other methods, more clusters, other definitions of F1.

The paper's way is one of them; the rest change one thing, or a space and a method together.

Scores are the highest over layers, epochs and ways, and so subject to selection bias: the more is tried, the higher
they are.
"""

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.cluster import AgglomerativeClustering, SpectralClustering
from sklearn.neighbors import kneighbors_graph
from threadpoolctl import threadpool_limits

from helpers import timing
from helpers.analysis import clustering, spaces, tsne
from helpers.analysis.scores import DEFINITIONS
from helpers.device import processes
from helpers.gpt.runs import Run
from helpers.settings import ClusteringSettings, TsneSettings
from helpers.tables import SPLITS

PAPER = {"space": "raw", "method": "kmeans", "clusters": 1, "definition": "matched"}
NOISE = 1e-6  # on an edge of weight 1
STARTS = 20  # single starts of KMeans, of which the labels choose the best
PERMUTATIONS = 5
MULTIPLES = (1, 2, 5)  # clusters for each task; a task has five input-output pairs


def of_run(
    run: Run, scores: pd.DataFrame, settings: ClusteringSettings, tsne_settings: TsneSettings, jobs: int | None = None
) -> pd.DataFrame:
    """Task F1 in every way tried, at the best of some epochs and of all layers above the embeddings.

    The epochs are the last, and those at which the paper's own way gives most on either evaluation set.

    Args:
        run: a finished run.
        scores: its clustering.csv, where those epochs are looked up.
        settings: of KMeans.
        tsne_settings: of the space tsne.
        jobs: layers at once; all cores if None.

    Returns:
        width, seed, split, space, method, clusters (for each task), definition, epoch, layer, f1, chance (the same
        score with permuted labels, the highest over the same layers and epochs).
    """
    layers = range(1, run.record(run.logged_epochs[-1]).states("validation").shape[0])
    places = [(epoch, split, n) for epoch in epochs(run, scores) for split in SPLITS for n in layers]
    tsne.warm_up()
    work = [delayed(_of_layer)(run, *place, settings, tsne_settings) for place in places]
    jobs = processes(sum(len(run.dataset.split(split)) for _, split, _ in places), jobs)
    rows = [row for rows in Parallel(n_jobs=jobs, inner_max_num_threads=1)(work) for row in rows]
    table = pd.DataFrame(rows)
    ways = table.groupby(["split", *PAPER], sort=False)
    table["chance"] = ways["chance"].transform("max")
    return table.loc[ways["f1"].idxmax()].assign(**run.point).reset_index(drop=True)


def epochs(run: Run, scores: pd.DataFrame) -> list[int]:
    """The last recorded epoch, and those with the highest F1 by task of raw states on either evaluation set."""
    mine = (scores[list(run.point)] == pd.Series(run.point)).all(axis=1)
    task = scores[mine & (scores["space"] == "raw") & (scores["label"] == "task") & (scores["layer"] > 0)]
    peaks = task.loc[task.groupby("split")["f1"].idxmax(), "epoch"]
    return sorted({*map(int, peaks), run.logged_epochs[-1]})


def methods(points: np.ndarray, kmeans, k: int, settings: ClusteringSettings) -> dict[str, list[np.ndarray]]:
    """Clusterings of points (N, D): one a method, or several of which the labels may choose the best.

    Args:
        kmeans: `clustering.kmeans_of` the points.
    """
    return {
        "kmeans": [kmeans(k, settings)],
        "kmeans_best_start": [
            kmeans(k, settings.model_copy(update={"n_init": 1, "seed": start})) for start in range(STARTS)
        ],
        "ward": [AgglomerativeClustering(k).fit_predict(points)],
        "average_linkage": [AgglomerativeClustering(k, linkage="average").fit_predict(points)],
        "spectral": [spectral(points, k, settings.seed)],
    }


def spectral(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Spectral clusters (N,) of the graph of 10 nearest neighbours, regularised as by Amini et al. (2013).

    The mean degree, divided by N, is added to every affinity, and a little noise. Without them a graph in several
    parts, or with parts that are alike, has eigenvectors that are equally good, and rounding chooses among them.
    """
    graph = kneighbors_graph(points, min(10, len(points) - 1), include_self=True).toarray()
    affinity = (graph + graph.T) / 2
    affinity += affinity.sum() / len(points) ** 2
    noise = np.random.default_rng(seed).uniform(0, NOISE, affinity.shape)
    affinity += noise + noise.T
    return SpectralClustering(k, affinity="precomputed", random_state=seed).fit_predict(affinity)


def _of_layer(run, epoch: int, split: str, layer: int, settings, tsne_settings) -> list[dict]:
    record, frame = run.record(epoch), run.dataset.split(split)
    raw, centred = record.states(split)[layer], record.centred(split, run.dataset.inputs(split))[layer]
    truth, rows = frame["task"].to_numpy(), []
    tasks = len(np.unique(truth))

    def score(space: str, method: str, clusters: int, definition: str, found: list[np.ndarray]) -> None:
        rng, measure = np.random.default_rng(0), DEFINITIONS[definition]
        best = max(found, key=lambda one: measure(truth, one))
        chance = np.mean([measure(rng.permutation(truth), best) for _ in range(PERMUTATIONS)])
        way = {"space": space, "method": method, "clusters": clusters, "definition": definition}
        rows.append(
            {"split": split, **way, "epoch": epoch, "layer": layer, "f1": measure(truth, best), "chance": chance}
        )

    with timing.timed("alternatives"), threadpool_limits(1), clustering.unchecked():
        for space, points in spaces.all_of(raw, centred, tsne_settings, settings.seed).items():
            kmeans = clustering.kmeans_of(points)
            for method, found in methods(points, kmeans, tasks, settings).items():
                score(space, method, 1, "matched", found)
            for multiple in MULTIPLES if space in ("raw", "tsne") else ():
                found = [kmeans(min(multiple * tasks, len(points)), settings)]
                for definition in DEFINITIONS:
                    if (multiple, definition) != (1, "matched"):
                        score(space, "kmeans", multiple, definition, found)
    return rows
