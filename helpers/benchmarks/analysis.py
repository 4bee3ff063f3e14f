"""KMeans and t-SNE on sets of states like those of the main model, against scikit-learn."""

import time

import numpy as np
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from sklearn.cluster import KMeans
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from helpers.analysis import alternatives, clustering, spaces
from helpers.analysis.scores import score
from helpers.benchmarks.harness import apart, dataset_of, median_seconds, row
from helpers.device import cores
from helpers.profiles import resolve
from helpers.settings import ClusteringSettings
from helpers.tables import SCORES, SPLITS


def kmeans_sweep() -> list[dict]:
    """KMeans against all labels, at seven layers, two sets and eight epochs of states made up like those of
    width 768, against scikit-learn in a plain loop."""
    ours, our_scores = apart(_our_kmeans)
    theirs, their_scores = apart(_plain_kmeans)
    different = np.abs(np.subtract(our_scores, their_scores)).reshape(-1, len(SCORES)).max(1) > 1e-9
    of_all = f"the same scores, of {len(different)} fits"
    return [
        row("KMeans sweep", ours, theirs, "scikit-learn, one fit after the other", "s", lower_is_better=True),
        row("KMeans sweep, fits where rounding chose other clusters", int(different.sum()), 0, of_all, "fits")
        | {"ratio": float("nan")},
    ]


def _sweep_problems(epochs: int = 8):
    settings = resolve("laptop")
    dataset = dataset_of(settings)
    rng = np.random.default_rng(0)
    problems = []
    for _epoch in range(epochs):
        for split in SPLITS:
            frame = dataset.split(split)
            labels = clustering.labels_of(frame)
            by_input = rng.normal(size=(len(dataset.vocabulary), 768))
            by_task = rng.normal(size=(frame["task"].max() + 1, 768))
            inputs = dataset.inputs(split)
            for _layer in range(7):
                noise = 2 * rng.normal(size=(len(frame), 768))
                points = by_input[inputs] + 0.7 * by_task[frame["task"]] + noise
                problems.append((points, labels, settings.clustering))
    return problems


def _our_kmeans() -> tuple[float, list[float]]:
    problems = _sweep_problems()
    start = time.perf_counter()
    found = Parallel(n_jobs=cores(), inner_max_num_threads=1)(delayed(_one_of_ours)(*p) for p in problems)
    seconds = time.perf_counter() - start
    get_reusable_executor().shutdown()  # its workers would keep this process for five minutes
    return seconds, [s for scores in found for s in scores]


def _one_of_ours(points, labels, settings) -> list[float]:
    rows, _ = clustering.scored(spaces.same_distances(points), labels, settings)
    return [row[name] for row in rows for name in SCORES]


def _plain_kmeans() -> tuple[float, list[float]]:
    problems = _sweep_problems()
    start = time.perf_counter()
    scores = []
    for points, labels, settings in problems:
        for truth in labels.values():
            model = KMeans(len(np.unique(truth)), n_init=settings.n_init, random_state=settings.seed)
            scores += score(truth, model.fit_predict(points)).values()
    return time.perf_counter() - start, scores


def search() -> list[dict]:
    """Every KMeans of the search over ways to cluster by task, on seven layers and two sets, against scikit-learn."""
    problems = _sweep_problems(epochs=1)
    ours, theirs = (_timed(one, problems) for one in (_our_search, _plain_search))
    different = sum(np.any(a != b) for a, b in zip(ours[1], theirs[1], strict=True))
    return [
        row("search over KMeans", ours[0], theirs[0], "scikit-learn, each fit by itself", "s", lower_is_better=True),
        row("search over KMeans, different clusterings", int(different), 0, "the same clusters", "clusterings")
        | {"ratio": float("nan")},
    ]


def _timed(one, problems) -> tuple[float, list[np.ndarray]]:
    with threadpool_limits(1):
        start = time.perf_counter()
        found = [
            clusters for points, labels, settings in problems for clusters in one(points, labels["task"], settings)
        ]
        return time.perf_counter() - start, found


def _wanted(truth, settings) -> list[tuple[int, ClusteringSettings]]:
    """Number of clusters and settings of each KMeans that the search makes."""
    tasks = len(np.unique(truth))
    starts = [settings.model_copy(update={"n_init": 1, "seed": seed}) for seed in range(alternatives.STARTS)]
    return [(tasks * n, settings) for n in alternatives.MULTIPLES] + [(tasks, start) for start in starts]


def _our_search(points, truth, settings) -> list[np.ndarray]:
    kmeans = clustering.kmeans_of(spaces.same_distances(points))
    return [kmeans(k, one) for k, one in _wanted(truth, settings)]


def _plain_search(points, truth, settings) -> list[np.ndarray]:
    return [
        KMeans(k, n_init=one.n_init, max_iter=one.max_iterations, random_state=one.seed).fit_predict(points)
        for k, one in _wanted(truth, settings)
    ]


def tsne_fit() -> list[dict]:
    """One t-SNE of 315 states at Table 5's settings, on one thread, against both of scikit-learn's methods."""
    ours = apart(_our_tsne)
    return [
        row("t-SNE of 315 states", ours, apart(_plain_tsne, method), f"scikit-learn, {method}", "s", True)
        for method in ("exact", "barnes_hut")
    ]


def _states_to_embed() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(315, 768)).astype(np.float32)


def _our_tsne() -> float:
    points, settings = _states_to_embed(), resolve("laptop").tsne
    with threadpool_limits(1):
        return median_seconds(lambda: spaces.tsne(points, settings, 0), 3)


def _plain_tsne(method: str) -> float:
    settings = resolve("laptop").tsne
    options = {"perplexity": settings.perplexity, "max_iter": settings.number_of_iterations, "init": "pca"}
    model, points = TSNE(settings.number_of_components, method=method, n_jobs=1, **options), _states_to_embed()
    with threadpool_limits(1):
        return median_seconds(lambda: model.fit_transform(points), 3)
