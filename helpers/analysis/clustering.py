"""Layer-wise clustering of hidden states and its extrinsic scores (section 3.2, appendix B).

KMeans with as many clusters as labels, on raw states, on t-SNE (Table 5) and on input-centred states.
Scores are those of `scores`.
"""

import contextlib
import functools
import itertools
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import sklearn
from joblib import Parallel, delayed
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import euclidean_distances
from threadpoolctl import ThreadpoolController, threadpool_limits
from tqdm import tqdm

from helpers import fingerprint, store, timing
from helpers.analysis import course, spaces, tsne, variance
from helpers.analysis.scores import score
from helpers.device import processes
from helpers.gpt.records import EpochRecord
from helpers.gpt.runs import Run
from helpers.settings import ClusteringSettings, TsneSettings, digest
from helpers.tables import SPLITS

MOST_DISTANCES = 4000  # points whose distances to one another are kept in memory, 128 MB
TABLES = ("clustering", "variance", "hard", "course")
CODE = ("clustering", "course", "scores", "spaces", "tsne", "variance")  # modules whose code these depend on


def kmeans(points: np.ndarray, k: int, settings: ClusteringSettings) -> np.ndarray:
    """Cluster number (N,) of each point (N, D); k is cut to the number of distinct points.

    One thread, so that the same points give the same clusters on any number of cores.
    """
    return kmeans_of(points)(k, settings)


def kmeans_of(points: np.ndarray) -> Callable[[int, ClusteringSettings], np.ndarray]:
    """`kmeans` for points (N, D) that are clustered several times: their distances are computed once."""
    distinct = len(np.unique(points, axis=0))
    init = seeds_from(points) if len(points) <= MOST_DISTANCES else "k-means++"

    def clusters(k: int, settings: ClusteringSettings) -> np.ndarray:
        options = {"n_init": settings.n_init, "max_iter": settings.max_iterations, "random_state": settings.seed}
        with warnings.catch_warnings(), _thread_pools().limit(limits=1), unchecked():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than clusters, up to rounding
            return KMeans(min(k, distinct), init=init, **options).fit_predict(points)

    return clusters


def unchecked() -> contextlib.AbstractContextManager:
    """scikit-learn without checks of its parameters, which take longer than a clustering of a few hundred points."""
    return sklearn.config_context(skip_parameter_validation=True)


@functools.cache
def _thread_pools() -> ThreadpoolController:
    """The thread pools of NumPy and scikit-learn; finding them takes milliseconds, as long as a small KMeans."""
    return ThreadpoolController()


def seeds_from(points: np.ndarray):
    """The `init` for KMeans that draws scikit-learn's own k-means++ centroids, from distances computed once.

    Most of KMeans on a few hundred points is spent computing the distances to each candidate anew, for every
    restart. Same draws and same greedy choice; where two candidates are exactly as good, rounding decides, as it
    does there.

    Args:
        points: (N, D).

    Returns:
        A function (points, k, random_state) -> (k, D) initial centroids.
    """
    squared = euclidean_distances(points, squared=True)

    def seeds(centred: np.ndarray, k: int, random_state: np.random.RandomState) -> np.ndarray:
        n = len(squared)
        chosen = [random_state.choice(n, p=np.full(n, 1.0) / n)]
        nearest = squared[chosen[0]]
        for _ in range(1, k):
            draws = random_state.uniform(size=2 + int(np.log(k))) * nearest.sum()
            candidates = np.searchsorted(np.cumsum(nearest), draws).clip(max=n - 1)
            after = np.minimum(nearest, squared[candidates])  # (candidates, N)
            best = after.sum(1).argmin()
            chosen.append(candidates[best])
            nearest = after[best]
        return centred[chosen]

    return seeds


def labels_of(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Label numbers (N,) of the instances by task, distribution and distribution with mapping."""
    pairs = frame.groupby(["distribution", "mapping"]).ngroup().to_numpy()
    return {
        "task": frame["task"].to_numpy(),
        "distribution": frame["distribution"].to_numpy(),
        "distribution_mapping": pairs,
    }


def within_input_separation(states: np.ndarray, frame: pd.DataFrame) -> float:
    """Share of hard instances nearer to their own task than to the instance they were made from.

    All compared instances share the input, so that only the instruction differs. Nearer means: the mean
    distance to the other instances of its task is below the distance to its original. By the instruction's
    symbols alone, a hard instance is nearer to its original; NaN where no task has two hard instructions.

    Args:
        states: (N, D) of the training subset.
        frame: its N instances.
    """
    nearer = []
    place = {key: i for i, key in enumerate(zip(frame["instruction_id"], frame["input"], strict=True))}
    for i, row in enumerate(frame.itertuples()):
        if row.hard:
            own = (frame["task"] == row.task) & (frame["input"] == row.input)
            own.iloc[i] = False
            mates = np.flatnonzero(own)
            if not len(mates):
                continue
            twin = place[row.original, row.input]
            to_mates = np.linalg.norm(states[mates] - states[i], axis=1).mean()
            nearer.append(to_mates < np.linalg.norm(states[twin] - states[i]))
    return float(np.mean(nearer)) if nearer else float("nan")


def pair_separation(clusters: np.ndarray, frame: pd.DataFrame) -> float:
    """Share of hard instances that lie in another cluster than the instance they were made from.

    Args:
        clusters: (N,).
        frame: the N instances of the training subset.
    """
    place = {key: i for i, key in enumerate(zip(frame["instruction_id"], frame["input"], strict=True))}
    hard = frame[frame["hard"]]
    twins = [place[key] for key in zip(hard["original"], hard["input"], strict=True)]
    return float((clusters[frame["hard"].to_numpy()] != clusters[twins]).mean())


def tsne_epochs(logged: list[int], count: int | None) -> list[int]:
    """Which of the logged epochs t-SNE is fitted at: `count` of them, evenly spread, first and last included."""
    if count is None or count >= len(logged):
        return logged
    return sorted({logged[round(i)] for i in np.linspace(0, len(logged) - 1, count)})


def analyse(
    run: Run, clustering: ClusteringSettings, tsne_settings: TsneSettings, jobs: int | None = None
) -> dict[str, pd.DataFrame]:
    """Every score of every logged epoch of a run, as tidy tables: clustering, variance, hard and course.

    Epochs are analysed in parallel, one thread each, and cached as they finish; an interrupted analysis
    continues. Columns are those of tables.TABLES.

    Raises:
        store.ArtefactError: a record of the run is lost or was changed.
    """
    logged = run.logged_epochs
    with_tsne = set(tsne_epochs(logged, tsne_settings.epochs)) if "tsne" in clustering.spaces else set()
    code = fingerprint.of_code(*(f"analysis.{name}" for name in CODE))
    key = digest([clustering.model_dump(mode="json"), tsne_settings.model_dump(mode="json", exclude={"epochs"}), code])
    folder = run.folder / "clustering" / key
    paths = {e: folder / f"{e:04d}{'-tsne' if e in with_tsne else ''}.json" for e in logged}
    found = {e: store.known_json(path) for e, path in paths.items()}
    missing = sorted((e for e in logged if found[e] is None), key=lambda e: (e not in with_tsne, e))
    if with_tsne and missing:
        tsne.warm_up()
    work = (delayed(_analyse_epoch)(run, e, clustering, tsne_settings, e in with_tsne, paths[e]) for e in missing)
    jobs = processes(len(missing) * _states(run), jobs)
    done = Parallel(n_jobs=jobs, return_as="generator_unordered", inner_max_num_threads=1)(work)
    for _ in tqdm(done, total=len(missing), desc=f"clustering {run.name}", unit="epoch") if missing else done:
        pass
    results = [found[e] or store.read_json(paths[e], "run notebook 03 again") for e in logged]
    tables = {}
    for name in TABLES:
        rows = list(itertools.chain.from_iterable(r[name] for r in results))
        tables[name] = pd.DataFrame([run.point | row for row in rows])
    return tables | {"course": course.with_accuracy(tables["course"], run.history)}


def _states(run: Run) -> int:
    """How many hidden states a record of a run holds."""
    return (run.settings.model.number_of_layers + 1) * sum(len(run.dataset.split(split)) for split in SPLITS)


def _analyse_epoch(run, epoch: int, clustering, tsne_settings, with_tsne: bool, path) -> None:
    record = run.record(epoch)
    tables = {name: [] for name in TABLES}
    with threadpool_limits(1), unchecked():
        for split in SPLITS:
            frame = run.dataset.split(split)
            labels, parts = labels_of(frame), variance.Parts(frame)
            for layer, found in _spaces(run, record, split, clustering, tsne_settings, with_tsne):
                place = {"epoch": epoch, "layer": layer, "split": split}
                shares = parts.of(found["raw"])
                tables["variance"] += [place | {"part": n, "share": s} for n, s in shares.items()]
                for space, points in found.items():
                    if space not in clustering.spaces:
                        continue
                    with timing.timed("KMeans"):
                        rows, by_task = scored(points, labels, clustering)
                    tables["clustering"] += [place | {"space": space} | row for row in rows]
                    f1 = next(row["f1"] for row in rows if row["label"] == "task")
                    tables["course"].append(place | {"space": space} | course.row(f1, by_task, frame, shares))
                    if split == "subset":
                        tables["hard"].append(_hard_row(place, space, points, by_task, frame, record))
    store.write_json(path, tables)


def _spaces(run, record: EpochRecord, split, clustering, tsne_settings, with_tsne):
    """For each layer, the points of each space, projected to at most N dimensions with all distances unchanged."""
    inputs = run.dataset.inputs(split)
    raw, centred = record.states(split), record.centred(split, inputs)
    for layer in range(len(raw)):
        # float64: rounding must not decide which of two points KMeans draws
        found = {n: spaces.same_distances(s[layer].astype(float)) for n, s in (("raw", raw), ("centred", centred))}
        if with_tsne:
            with timing.timed("t-SNE"):
                found["tsne"] = spaces.tsne(raw[layer], tsne_settings, clustering.seed)
        yield layer, found


def scored(
    points: np.ndarray, labels: dict[str, np.ndarray], settings: ClusteringSettings
) -> tuple[list[dict], np.ndarray]:
    """Scores of KMeans on points (N, D) against each label, as rows, and its clusters (N,) where that label is task."""
    rows, by_task, clusters_of = [], None, kmeans_of(points)
    for name, truth in labels.items():
        k = len(np.unique(truth))
        clusters = clusters_of(k, settings)
        by_task = clusters if name == "task" else by_task
        rows.append({"label": name, "k": k, **score(truth, clusters)})
    return rows, by_task


def _hard_row(place, space, points, by_task, frame, record: EpochRecord) -> dict:
    hard = frame["hard"].to_numpy()
    return {
        "epoch": place["epoch"],
        "layer": place["layer"],
        "space": space,
        "pairs_separated": pair_separation(by_task, frame),
        "nearer_own_task": within_input_separation(points, frame),
        "accuracy_hard": float(record.subset.correct[hard].mean()),
        "accuracy_original": float(record.subset.correct[~hard].mean()),
    }
