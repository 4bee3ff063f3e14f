"""Scores of a pretrained model: its row of the paper's Table 1, and around it what the paper does not give.

A score that any clustering would get (one label alone, or as many labels as instances) is empty, never 1.0, and
`remarks` says why.

As in the paper, the tasks of a category share one task identity (3), the instructions of a task are one
distribution (16), and a distribution with a word pair is a distribution-mapping (160).
"""

import contextlib
from collections.abc import Iterable

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from helpers import fingerprint, store
from helpers.analysis import clustering, neighbours, spaces, tsne
from helpers.analysis.scores import matched_f1, score
from helpers.device import processes
from helpers.errors import Refused
from helpers.pretrained import natural
from helpers.pretrained.paper_models import PAPER_MODELS
from helpers.pretrained.probe import Probe
from helpers.pretrained.trial import NO_EMBEDDING
from helpers.settings import ClusteringSettings, digest
from helpers.tables import LABELS, SCORES

STARTS = 64  # shared out: few clusters get many restarts, since they are cheap and depend on them most


def natural_labels(instances: pd.DataFrame) -> dict[str, np.ndarray]:
    """Label numbers (K,) of instances of natural tasks: the paper's task is the category, its distribution the task."""
    return {
        "task": instances["category"].astype("category").cat.codes.to_numpy(),
        "distribution": instances["task"].astype("category").cat.codes.to_numpy(),
        "distribution_mapping": instances["mapping"].to_numpy(),
    }


PAPER_COUNTS = {"task": 3, "distribution": 16, "distribution_mapping": 160}  # of labels, in the paper's Table 1


def can_be_told(truth: np.ndarray) -> bool:
    """Whether clusters can be right or wrong about labels (K,): neither one alone, nor one for each instance."""
    return 1 < len(np.unique(truth)) < len(truth)


def remarks(instances: pd.DataFrame, probes: Iterable[Probe] = ()) -> list[str]:
    """What must be said beside Table 1, a sentence each: what cannot be told or compared, and what layer 0 is.

    Args:
        instances: of the table.
        probes: its models.
    """
    labels = natural_labels(instances)
    counts = {name: len(np.unique(truth)) for name, truth in labels.items()}
    found = []
    for name, truth in labels.items():
        if not can_be_told(truth):
            why = "there is only one" if counts[name] == 1 else "every instance has its own"
            found.append(f"{name.replace('_', '-')}: cannot be told, for {why}; its scores are left empty")
    other = [n for n in counts if counts[n] != PAPER_COUNTS[n] and can_be_told(labels[n])]
    if other:
        said = ", ".join(f"{counts[n]} for the paper's {PAPER_COUNTS[n]} ({n.replace('_', '-')})" for n in other)
        found.append(f"other numbers of labels than in the paper's rows, so no comparison: {said}; fewer are easier")
    if not natural.with_twins(instances).any():
        found.append("no input occurs under two tasks, so clusters by task may be clusters by input words")
    same = instances.groupby(["instruction", "input"])["task"].transform("nunique").gt(1)
    if same.any():
        found.append(f"{same.mean():.0%} of the prompts stand under several tasks: no state can tell those tasks apart")
    return found + [f"{p.manifest['model']}: {NO_EMBEDDING}" for p in probes if not p.manifest["embedding"]]


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
        input-centred, and the label distribution. Scores are empty where they cannot be told.
    """
    wanted = list(range(probe.layers)) if layers is None else layers
    code = fingerprint.of_code(*fingerprint.closure({"pretrained.table1"}))
    path = probe.folder / f"layers-{digest([wanted, n_init, seed, code])}.csv"
    if path.exists():
        with contextlib.suppress(store.ArtefactError):  # broken: made again
            return store.read_table(path, "")
    work = (delayed(_score_layer)(probe, layer, n_init, seed) for layer in wanted)
    jobs = processes(len(wanted) * len(probe.instances), jobs)
    found = Parallel(n_jobs=jobs, return_as="generator", inner_max_num_threads=1)(work)
    bar = tqdm(found, total=len(wanted), desc="clustering", unit="layer")
    table = pd.DataFrame([row for rows in bar for row in rows])
    store.write_table(path, table, digits=17)
    return table


def _score_layer(probe: Probe, layer: int, n_init: int, seed: int) -> list[dict]:
    states, labels = probe.states(layer), natural_labels(probe.instances)
    problems = [("raw", name, states, labels[name]) for name in LABELS]
    twins = natural.with_twins(probe.instances)
    if twins.any():
        truth = labels["distribution"][twins]
        inputs = probe.instances.loc[twins, "input"]
        problems.append(("twins", "distribution", states[twins], truth))
        problems.append(("twins_centred", "distribution", spaces.input_centred(states[twins], inputs), truth))
    rows = []
    with threadpool_limits(1):
        for space, name, points, truth in problems:
            k = len(np.unique(truth))
            found = scores_of(points, truth, n_init, seed)
            rows.append({"layer": layer, "space": space, "label": name, "k": k, **found})
    return rows


def scores_of(points: np.ndarray, truth: np.ndarray, n_init: int, seed: int) -> dict[str, float]:
    """F1, ARI and AMI of KMeans on points (K, D) against labels (K,); NaN where they cannot be told."""
    if not can_be_told(truth):
        return dict.fromkeys(SCORES, float("nan"))
    return score(truth, cluster(points, truth, n_init, seed))


def cluster(points: np.ndarray, truth: np.ndarray, n_init: int, seed: int) -> np.ndarray:
    """KMeans with as many clusters as there are labels: cluster numbers (K,).

    Args:
        n_init: restarts, at the least; k clusters get STARTS // k of them.
    """
    k = len(np.unique(truth))
    return clustering.kmeans(points, k, ClusteringSettings(n_init=max(n_init, STARTS // k), seed=seed))


def restarts(probe: Probe, layer: int, starts: int = 12, jobs: int | None = None) -> pd.DataFrame:
    """What single starts of KMeans give at one layer: how much the scores vary with the start.

    Returns:
        label, start, inertia (relative to the lowest), f1; nothing of labels that cannot be told.
    """
    states, labels = probe.states(layer), natural_labels(probe.instances)
    names = [name for name in ("task", "distribution") if can_be_told(labels[name])]
    problems = [(name, start) for name in names for start in range(starts)]
    work = (delayed(_one_start)(states, labels[name], start) for name, start in problems)
    found = Parallel(n_jobs=processes(len(problems) * len(states), jobs), inner_max_num_threads=1)(work)
    rows = [
        {"label": name, "start": start, "inertia": inertia, "f1": f1}
        for (name, start), (inertia, f1) in zip(problems, found, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["label", "start", "inertia", "f1"])
    lowest = table.groupby("label")["inertia"].transform("min").replace(0, 1)  # 0: every point is its cluster's centre
    return table.assign(inertia=table["inertia"] / lowest)


def _one_start(points: np.ndarray, truth: np.ndarray, start: int) -> tuple[float, float]:
    with threadpool_limits(1):
        model = KMeans(len(np.unique(truth)), n_init=1, random_state=start).fit(points)
    return float(model.inertia_), matched_f1(truth, model.labels_)


def best_layer(scores: pd.DataFrame) -> int:
    """The layer with the highest task F1, at which the paper reports (section 3.4)."""
    return best(scores)[0]


def best(scores: pd.DataFrame) -> tuple[int, str]:
    """The best layer and the label whose F1 it was chosen by: task, or the first after it that can be told."""
    raw = scores[scores["space"] == "raw"]
    for label in LABELS:
        told = raw[raw["label"] == label].dropna(subset="f1")
        if len(told):
            return int(told.loc[told["f1"].idxmax(), "layer"]), label
    return int(raw["layer"].max()), "no"


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


def intervals(
    probe: Probe, layer: int, n_init: int = 2, seed: int = 0, resamples: int = 40, jobs: int | None = None
) -> pd.DataFrame:
    """95% intervals of one layer's scores over which instructions were drawn and how KMeans started.

    Each resample keeps a random half of the instructions of every task, with all of its pairs, and clusters their
    states anew from another start. A mean over a random half differs from that over the whole by as much as the whole's
    from the truth (s2 / (n/2) - s2 / n = s2 / n: the delete-d jackknife with d = n/2), so nothing is scaled. A
    bootstrap would draw instructions twice, which then agree with themselves and raise scores. The pairs stay: without
    some of them, some labels would be gone and the rest easier to match. Half of the states cost half of the time, and
    `resamples` bounds it. The score itself is one draw of start and instructions, and is always inside.

    Returns:
        label, metric, low, high; empty bounds where a label cannot be told or a task has one instruction alone.
    """
    states, labels = probe.states(layer), natural_labels(probe.instances)
    rng = np.random.default_rng(seed)
    few = probe.instances.groupby("task")["instruction_id"].nunique().min() < 2
    names = [] if few else [name for name in LABELS if can_be_told(labels[name])]
    draws = [(half_of(probe.instances, rng), int(rng.integers(2**31))) for _ in range(resamples)]
    work = (
        delayed(_rescored)(states[kept], {name: labels[name][kept] for name in names}, n_init, start)
        for kept, start in (draws if names else [])
    )
    found = Parallel(n_jobs=processes(len(draws) * len(states) // 2, jobs), inner_max_num_threads=1)(work)
    rows = []
    for name in LABELS:
        ours = scores_of(states, labels[name], n_init, 0) if name in names else dict.fromkeys(SCORES, np.nan)
        for metric, value in ours.items():
            each = [one[name][metric] for one in found if name in one] or [np.nan]
            low, high = np.percentile(each, [2.5, 97.5])
            rows.append({"label": name, "metric": metric, "low": min(low, value), "high": max(high, value)})
    return pd.DataFrame(rows)


def half_of(instances: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Row numbers of a random half (rounded up) of the instructions of every task, each with all of its pairs."""
    each = instances.groupby("task")["instruction_id"].unique()
    kept = np.concatenate([rng.choice(ids, -(-len(ids) // 2), replace=False) for ids in each])
    return np.flatnonzero(instances["instruction_id"].isin(kept))


def _rescored(states: np.ndarray, labels: dict[str, np.ndarray], n_init: int, start: int) -> dict[str, dict]:
    with threadpool_limits(1):
        return {name: scores_of(states, truth, n_init, start) for name, truth in labels.items()}


def held_out_neighbours(probe: Probe, k: int = 10, seed: int = 0) -> pd.DataFrame:
    """KNN from instructions held out: a fifth of each task's instructions looks its neighbours up in the rest.

    Where fewer than k instances are left to look in, k is as many as there are. A task with one instruction is looked
    up in and not held out.

    Returns:
        One row a layer: layer, k, same_task (of the 16), same_category, accuracy of the neighbours' vote on the output.

    Raises:
        Refused: no task has two instructions.
    """
    instances = probe.instances
    query = _held_out(instances, seed)
    known = ~query
    if not query.any():
        raise Refused("nearest neighbours need two instructions of a task at the least: raise instructions_per_task")
    k = min(k, int(known.sum()))
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


def _held_out(instances: pd.DataFrame, seed: int) -> np.ndarray:
    """(K,) whether an instance's instruction is held out: a fifth of each task's, one at the least, never the only."""
    rng = np.random.default_rng(seed)
    held: list[int] = []
    for ids in instances.groupby("task")["instruction_id"].unique():
        held += rng.choice(ids, max(1, len(ids) // 5), replace=False).tolist() if len(ids) > 1 else []
    return instances["instruction_id"].isin(held).to_numpy()


def map_of(probe: Probe, layer: int, most: int = 1600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A map of one layer: t-SNE of a sample of its states, or of four and fewer the states' first two axes.

    Returns:
        Row numbers of the sample (M,), and its points (M, 2).
    """
    count = len(probe.instances)
    sample = np.sort(np.random.default_rng(seed).choice(count, min(most, count), replace=False))
    states = probe.states(layer)[sample]
    if len(sample) <= 4:
        return sample, np.pad(states[:, :2], ((0, 0), (0, max(0, 2 - states.shape[1]))))
    perplexity = min(30, (len(sample) - 1) / 3)
    return sample, tsne.fit(states, 2, perplexity, iterations=1000)


def solved(probe: Probe) -> pd.DataFrame:
    """Share of instances that the model itself solves, by category and task; see answers for what counts."""
    frame = probe.instances.assign(solved=probe.solved())
    return frame.groupby(["category", "task"], as_index=False)["solved"].mean()
