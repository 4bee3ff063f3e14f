"""What the states of a pretrained model show: Table 1 of the paper, and around it what the paper does not show.

As in the paper, the tasks of a category share one task identity (3), the instructions of a task are one
distribution (16), and a distribution with a word pair is a distribution-mapping (160).
"""

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from helpers import fingerprint, store
from helpers.analysis import clustering, neighbours
from helpers.device import cores
from helpers.pretrained import natural
from helpers.pretrained.loading import PAPER_MODELS
from helpers.pretrained.probe import Probe
from helpers.settings import ClusteringSettings, digest
from helpers.tables import LABELS

STARTS = 64  # shared out: few clusters get many restarts, since they are cheap and depend on them most


def labels_of(instances: pd.DataFrame) -> dict[str, np.ndarray]:
    """Label numbers (K,) of the instances under the paper's three identities."""
    return {
        "task": instances["category"].astype("category").cat.codes.to_numpy(),
        "distribution": instances["task"].astype("category").cat.codes.to_numpy(),
        "distribution_mapping": instances["mapping"].to_numpy(),
    }


def input_centred(states: np.ndarray, inputs: pd.Series) -> np.ndarray:
    """States (K, D) less the mean state of their input; only of use where inputs occur under several tasks."""
    groups = pd.factorize(inputs)[0]
    sums = np.zeros((groups.max() + 1, states.shape[1]), dtype=states.dtype)
    np.add.at(sums, groups, states)
    return states - (sums / np.bincount(groups)[:, None])[groups]


def score_layers(
    probe: Probe, layers: list[int] | None = None, n_init: int = 2, seed: int = 0, jobs: int | None = None
) -> pd.DataFrame:
    """Scores of KMeans at every layer.

    Args:
        layers: which ones; all if None.
        n_init: restarts of KMeans, at the least; see `cluster`.

    Returns:
        One row a layer, label and space: layer, space, label, k, f1, ari, ami. Space raw has all instances and all
        labels. Spaces twins and twins_centred have the instances whose input occurs under several tasks, raw and
        input-centred, and the label distribution.
    """
    wanted = list(range(probe.layers)) if layers is None else layers
    code = fingerprint.of_code("pretrained.table1", "analysis.clustering")
    path = probe.folder / f"layers-{digest([wanted, n_init, seed, code])}.csv"
    if path.exists():
        return pd.read_csv(path)
    work = (delayed(_score_layer)(probe, layer, n_init, seed) for layer in wanted)
    found = Parallel(n_jobs=jobs or cores(), return_as="generator", inner_max_num_threads=1)(work)
    bar = tqdm(found, total=len(wanted), desc="clustering", unit="layer")
    table = pd.DataFrame([row for rows in bar for row in rows])
    store.write_csv(path, table, digits=17)
    return table


def _score_layer(probe: Probe, layer: int, n_init: int, seed: int) -> list[dict]:
    states, labels = probe.states(layer), labels_of(probe.instances)
    problems = [("raw", name, states, labels[name]) for name in LABELS]
    twins = natural.with_twins(probe.instances)
    if twins.any():
        truth = labels["distribution"][twins]
        inputs = probe.instances.loc[twins, "input"]
        problems.append(("twins", "distribution", states[twins], truth))
        problems.append(("twins_centred", "distribution", input_centred(states[twins], inputs), truth))
    rows = []
    with threadpool_limits(1):
        for space, name, points, truth in problems:
            clusters = cluster(points, truth, n_init, seed)
            k = len(np.unique(truth))
            rows.append({"layer": layer, "space": space, "label": name, "k": k, **clustering.scores(truth, clusters)})
    return rows


def cluster(points: np.ndarray, truth: np.ndarray, n_init: int, seed: int) -> np.ndarray:
    """KMeans with as many clusters as there are labels: cluster numbers (K,).

    Args:
        n_init: restarts, at the least; k clusters get STARTS // k of them.
    """
    k = len(np.unique(truth))
    return clustering.kmeans(points, k, ClusteringSettings(n_init=max(n_init, STARTS // k), seed=seed))


def restarts(probe: Probe, layer: int, starts: int = 12, jobs: int | None = None) -> pd.DataFrame:
    """What single starts of KMeans give at one layer: how far the scores are the start's doing.

    Returns:
        label, start, inertia (relative to the lowest), f1.
    """
    states, labels = probe.states(layer), labels_of(probe.instances)
    problems = [(name, start) for name in ("task", "distribution") for start in range(starts)]
    work = (delayed(_one_start)(states, labels[name], start) for name, start in problems)
    found = Parallel(n_jobs=jobs or cores(), inner_max_num_threads=1)(work)
    rows = [
        {"label": name, "start": start, "inertia": inertia, "f1": f1}
        for (name, start), (inertia, f1) in zip(problems, found, strict=True)
    ]
    table = pd.DataFrame(rows)
    return table.assign(inertia=table["inertia"] / table.groupby("label")["inertia"].transform("min"))


def _one_start(points: np.ndarray, truth: np.ndarray, start: int) -> tuple[float, float]:
    with threadpool_limits(1):
        model = KMeans(len(np.unique(truth)), n_init=1, random_state=start).fit(points)
    return float(model.inertia_), clustering.matched_f1(truth, model.labels_)


def best_layer(scores: pd.DataFrame) -> int:
    """The layer with the highest task F1, at which the paper reports (section 3.4)."""
    tasks = scores[(scores["label"] == "task") & (scores["space"] == "raw")]
    return int(tasks.loc[tasks["f1"].idxmax(), "layer"])


def table1(scores: dict[tuple[str, str], pd.DataFrame]) -> pd.DataFrame:
    """Table 1: our rows at each model's best layer, and the paper's.

    Args:
        scores: of score_layers, by (model, revision).

    Returns:
        model, revision, label, layer (empty for the paper's rows), f1, ari, ami, source.
    """
    rows = []
    for (model, revision), table in scores.items():
        at = table[(table["layer"] == best_layer(table)) & (table["space"] == "raw")]
        columns = ["label", "layer", "f1", "ari", "ami"]
        rows += [
            {"model": model, "revision": revision} | r | {"source": "ours"} for r in at[columns].to_dict("records")
        ]
    for model in PAPER_MODELS:
        for name in LABELS:
            published = dict(zip(("f1", "ari", "ami"), getattr(model, name), strict=True))
            rows.append(
                {"model": model.name, "revision": "", "label": name, "layer": None} | published | {"source": "paper"}
            )
    frame = pd.DataFrame(rows)
    return frame.assign(layer=frame["layer"].astype("Int64"))


def intervals(probe: Probe, layer: int, n_init: int = 2, seed: int = 0, resamples: int = 200) -> pd.DataFrame:
    """95% intervals of one layer's scores over which instructions were drawn.

    Each resample draws the instructions of every task with replacement, and scores the same clusters on them. The
    pairs stay: without some of them, some labels would be gone and the rest easier to match. An instruction drawn
    twice agrees with itself, which raises scores a little; the interval is moved by as much. What KMeans would do on
    other data is not covered.

    Returns:
        label, metric, low, high.
    """
    states, labels = probe.states(layer), labels_of(probe.instances)
    rng = np.random.default_rng(seed)
    draws = [_redrawn(rng, probe.instances) for _ in range(resamples)]
    rows = []
    for name in LABELS:
        clusters = cluster(states, labels[name], n_init, seed)
        found = pd.DataFrame([clustering.scores(labels[name][d], clusters[d]) for d in draws])
        for metric, estimate in clustering.scores(labels[name], clusters).items():
            low, high = np.percentile(found[metric], [2.5, 97.5]) - found[metric].mean() + estimate
            rows.append({"label": name, "metric": metric, "low": low, "high": min(high, 1.0)})
    return pd.DataFrame(rows)


def _redrawn(rng: np.random.Generator, instances: pd.DataFrame) -> np.ndarray:
    """Rows of a resample: the instructions of every task drawn with replacement, each with all of its pairs."""
    chosen = []
    for _, part in instances.groupby("task"):
        grid = part.pivot(index="instruction_id", columns="mapping", values="instance").to_numpy()
        chosen.append(grid[rng.integers(0, len(grid), len(grid))].ravel())
    return np.concatenate(chosen)


def held_out_neighbours(probe: Probe, k: int = 10, seed: int = 0) -> pd.DataFrame:
    """KNN from instructions held out: a fifth of each task's instructions looks its neighbours up in the rest.

    Returns:
        One row a layer: layer, k, same_task (of the 16), same_category, accuracy of the neighbours' vote on the output.
    """
    instances = probe.instances
    rng = np.random.default_rng(seed)
    held: list[int] = []
    for _, ids in instances.groupby("task")["instruction_id"].unique().items():
        held += rng.choice(ids, max(1, len(ids) // 5), replace=False).tolist()
    query = instances["instruction_id"].isin(held).to_numpy()
    known = ~query
    outputs = pd.factorize(instances["output"])[0]
    rows = []
    for layer in range(probe.layers):
        states = probe.states(layer)
        search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(states[known])
        index = search.kneighbors(states[query], return_distance=False)
        row = {"layer": layer, "k": k}
        for column, name in (("task", "same_task"), ("category", "same_category")):
            values = instances[column].to_numpy()
            row[name] = neighbours.same_task_share(values[known][index], values[query])[-1]
        row["accuracy"] = neighbours.vote_accuracy(outputs[known][index], outputs[query], (k,))[0]
        rows.append(row)
    return pd.DataFrame(rows)


def solved(probe: Probe) -> pd.DataFrame:
    """Share of instances that the model itself solves, by category and task (top-1, first token of the output)."""
    frame = probe.instances.assign(solved=probe.solved())
    return frame.groupby(["category", "task"], as_index=False)["solved"].mean()
