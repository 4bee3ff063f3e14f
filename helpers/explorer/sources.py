"""What can be seen of a training run or of a probed language model, without widgets.

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
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import pairwise_distances
from sklearn.metrics.cluster import contingency_matrix

from helpers import fingerprint, store
from helpers.analysis import clustering, spaces
from helpers.explorer import projections
from helpers.gpt.runs import Run
from helpers.pretrained import table1
from helpers.pretrained.probe import Probe, open_probe
from helpers.settings import ClusteringSettings, RunSettings, digest
from helpers.tables import SCORES, SPLITS
from helpers.task import synthetic

COLOURS = {
    "task": "task", "distribution": "distribution", "mapping": "mapping",
    "distribution_mapping": "distribution and mapping", "input": "input", "output": "output",
    "cluster": "cluster found by KMeans", "correct": "answered rightly", "kind": "hard, original or unseen",
}  # fmt: skip
NEIGHBOURS = 10
NOTHING = "nothing to explore under {folder}: `make reproduce` trains the paper's model (PROFILE=smoke takes minutes)"


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
        key = digest([[str(m) for m in self.moments], fingerprint.of_code("explorer.projections", "analysis.tsne")])
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
        return clustering.scores(truth, self.clusters(split, moment, layer, space, len(np.unique(truth))))

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


class RunSource(Source):
    """A training run, finished or not."""

    moment_name = "epoch"
    splits: dict[str, str]

    def __init__(self, run: Run) -> None:
        progress = run.progress
        self.run, self.name, self.folder = run, run.name, run.folder
        self.moments = sorted(int(e) for e in progress["logged"])
        if not self.moments:
            raise store.ArtefactError(f"{run.folder} has recorded no epoch yet; wait for the first, or train it again")
        self.layers = run.settings.model.number_of_layers + 1
        self._hashes = {int(e): h for e, h in progress["logged"].items()}
        self._checked: set[int] = set()
        last = run.settings.training.last_epoch
        if progress["epoch"] < last:
            self.note = f"still in training: {progress['epoch']} of {last} epochs so far; reload shows more"
        sizes = {name: len(run.dataset.split(name)) for name in SPLITS}
        self.splits = {
            "validation": f"unseen instances ({sizes['validation']})",
            "subset": f"training subset with hard examples ({sizes['subset']})",
        }

    @functools.lru_cache(maxsize=8)  # noqa: B019
    def frame(self, split: str) -> pd.DataFrame:
        """See Source.frame; also expression, kind (unseen, original or hard)."""
        found = self.run.dataset.split(split)
        expressions = self.run.dataset.distributions.set_index("distribution")["expression"]
        kind = np.where(found["hard"], "hard", "unseen" if split == "validation" else "original")
        return found.assign(expression=found["distribution"].map(expressions), kind=kind)[
            ["instruction", "expression", "input", "output", "task", "distribution", "mapping", "kind"]
        ]

    def labels(self, split: str) -> dict[str, np.ndarray]:
        """See Source.labels."""
        return clustering.labels_of(self.frame(split))

    def states(self, split: str, moment, layer: int, space: str = "raw") -> np.ndarray:
        """See Source.states; centred: less the mean training state of the input symbol."""
        found = self._read(moment, f"{split}.states", layer).astype(np.float32)
        if space == "centred":
            found = found - self._read(moment, "means.mean", layer)[self.run.dataset.inputs(split)]
        return found

    @functools.lru_cache(maxsize=64)  # noqa: B019
    def answers(self, split: str, moment) -> pd.DataFrame:
        """See Source.answers."""
        symbols = np.array(list(self.run.dataset.vocabulary))
        return pd.DataFrame(
            {
                "answer": symbols[self._read(moment, f"{split}.predictions")],
                "correct": self._read(moment, f"{split}.correct"),
            }
        )

    def neighbours(self, split: str, moment, layer: int, row: int, k: int = NEIGHBOURS) -> pd.DataFrame:
        """See Source.neighbours; among training instances, as recorded during training."""
        index = self._read(moment, f"{split}.neighbours.index", layer)[row]
        distance = self._read(moment, f"{split}.neighbours.distance", layer)[row]
        train = self._train
        own = self.frame(split)["instruction"].iloc[row]
        found = train.iloc[index].assign(distance=distance)
        return found[found["instruction"] != own][["distance", "task", "input", "output", "instruction"]].head(k)

    @functools.cached_property
    def _train(self) -> pd.DataFrame:
        return self.run.dataset.split("train")

    def known_scores(self) -> pd.DataFrame:
        """See Source.known_scores; of the last analysis by notebook 03 or a sweep."""
        folders = sorted(self.folder.glob("clustering/*/"), key=lambda f: f.stat().st_mtime)
        if not folders:
            return super().known_scores()
        rows = []
        for path in sorted(folders[-1].glob("*.json")):
            rows += store.read_json(path, "run notebook 03 again")["clustering"]
        return pd.DataFrame(rows).rename(columns={"epoch": "moment"})

    def _read(self, moment: int, name: str, layer: int | None = None) -> np.ndarray:
        path, remedy = self.run.record_path(moment), f"delete {self.folder} and train it again (make reproduce)"
        if moment not in self._checked:
            store.check_file(path, self._hashes[moment], remedy)
            self._checked.add(moment)
        try:
            with safe_open(path, "np") as file:
                return file.get_tensor(name) if layer is None else file.get_slice(name)[layer]
        except (SafetensorError, OSError) as error:
            raise store.ArtefactError(
                f"{path} has no {name}; an older version made it: {remedy} ({type(error).__name__})"
            ) from None


class ProbeSource(Source):
    """Probes of one pretrained model on natural tasks, one a revision.

    As in the paper, the category of a natural task counts as the task, and the natural task as the distribution.
    """

    moment_name = "revision"
    restarts = 2

    def __init__(self, probes: list[Probe]) -> None:
        first = probes[0]
        if any(not p.instances.equals(first.instances) or p.layers != first.layers for p in probes):
            raise store.ArtefactError("these probes differ in their instances or layers: explore them one by one")
        self.probes = {p.manifest["revision"]: p for p in probes}
        self.name, self.folder, self.layers = first.manifest["model"], first.folder, first.layers
        self.moments = list(self.probes)
        self.splits = {"instances": f"natural tasks ({len(first.instances)})"}

    @functools.lru_cache(maxsize=2)  # noqa: B019
    def frame(self, split: str = "instances") -> pd.DataFrame:
        """See Source.frame."""
        i = next(iter(self.probes.values())).instances
        named = {"task": i["category"], "distribution": i["task"], "mapping": i["input"] + " → " + i["output"]}
        return i[["instruction", "input", "output"]].assign(**named).reset_index(drop=True)

    def labels(self, split: str = "instances") -> dict[str, np.ndarray]:
        """See Source.labels."""
        return table1.labels_of(next(iter(self.probes.values())).instances)

    @functools.lru_cache(maxsize=6)  # noqa: B019
    def states(self, split: str, moment, layer: int, space: str = "raw") -> np.ndarray:
        """See Source.states; centred: less the mean state of the input word."""
        found = self.probes[moment].states(layer)
        return found if space == "raw" else spaces.input_centred(found, self.frame(split)["input"])

    @functools.lru_cache(maxsize=8)  # noqa: B019
    def answers(self, split: str, moment) -> pd.DataFrame:
        """See Source.answers; a probe records only whether the first token is right."""
        return pd.DataFrame({"correct": self.probes[moment].solved()})

    def neighbours(self, split: str, moment, layer: int, row: int, k: int = NEIGHBOURS) -> pd.DataFrame:
        """See Source.neighbours; an exact search among all instances of other instructions."""
        states, frame = self.states(split, moment, layer), self.frame(split)
        distance = pairwise_distances(states[row : row + 1], states)[0]
        others = frame.assign(distance=distance)[frame["instruction"] != frame["instruction"].iloc[row]]
        return others.nsmallest(k, "distance")[["distance", "task", "input", "output", "instruction"]]

    def known_scores(self) -> pd.DataFrame:
        """See Source.known_scores; of the last analysis by notebook 05."""
        frames = []
        for revision, probe in self.probes.items():
            paths = sorted(probe.folder.glob("layers-*.csv"), key=lambda p: p.stat().st_mtime)
            frames += [
                store.read_table(path, "delete it").assign(moment=revision, split="instances") for path in paths[-1:]
            ]
        return pd.concat(frames, ignore_index=True) if frames else super().known_scores()


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
    found = {name: clustering.scores(truth[rows], clusters[rows]) for name, truth in labels.items()}
    return pd.DataFrame(found).T[list(SCORES)]


def matching(frame: pd.DataFrame, text: str) -> np.ndarray:
    """Rows whose instruction contains `text`; none for an empty one."""
    if not text:
        return np.array([], dtype=int)
    return np.flatnonzero(frame["instruction"].str.contains(text, regex=False))


def open_folder(folder: Path) -> Source:
    """The source in a folder under data/runs or data/probes.

    Raises:
        store.ArtefactError: something is missing, or was made by another version; the message has the remedy.
    """
    folder = Path(folder)
    if not (folder / "manifest.json").exists():
        raise store.ArtefactError(f"{folder} is no run and no probe: it has no manifest.json; `newest()` lists some")
    manifest = store.read_json(folder / "manifest.json", f"delete {folder}")
    if "settings" in manifest:
        return _open_run(folder, manifest)
    return ProbeSource([open_probe(folder)])


def _open_run(folder: Path, manifest: dict) -> RunSource:
    again = "train it again (make reproduce), or look at it with the version that made it"
    try:
        settings = RunSettings(**manifest["settings"])
    except ValidationError as error:
        first = error.errors()[0]
        raise store.ArtefactError(
            f"{folder} was made with settings that this version does not know "
            f"({'.'.join(map(str, first['loc']))}: {first['msg']}); {again}"
        ) from None
    try:
        dataset = synthetic.load(settings.data)
    except store.ArtefactError:
        dataset = synthetic.generate(settings.data)  # a second's work, and checked below
    if dataset.content != manifest["data"]:
        raise store.ArtefactError(f"{folder} was trained on data that this version no longer draws; {again}")
    return RunSource(Run(settings, dataset, folder))


def found_folders() -> list[Path]:
    """Folders of runs and probes that recorded something, the newest first."""
    begun = [*store.DATA.glob("runs/*/progress.json"), *store.DATA.glob("probes/*/progress.json")]
    recorded = [p for p in begun if p.parent.parent.name == "probes" or (store.known_json(p) or {}).get("logged")]
    return [p.parent for p in sorted(recorded, key=lambda p: p.stat().st_mtime, reverse=True)]


def newest(kind: str = "runs") -> Source:
    """The run (or probe, with kind="probes") that was worked on last.

    Raises:
        store.ArtefactError: there is none; the message has the command that makes one.
    """
    for folder in found_folders():
        if folder.parent.name == kind:
            return open_folder(folder)
    raise store.ArtefactError(NOTHING.format(folder=store.DATA / kind))


def same_numbers(clusters: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Clusters renumbered so that as many instances as possible keep the number that they have in `reference`."""
    table = contingency_matrix(clusters, reference)
    rows, columns = linear_sum_assignment(-table)
    numbers, targets = np.unique(clusters), np.unique(reference)
    new = dict(zip(numbers[rows], targets[columns], strict=True))
    free = iter(n for n in range(len(numbers) + len(targets)) if n not in set(new.values()))
    return np.array([new[c] if c in new else new.setdefault(c, next(free)) for c in clusters])
