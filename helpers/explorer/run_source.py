"""A training run as the explorer sees it."""

import functools
import math

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from helpers import store
from helpers.analysis import clustering
from helpers.explorer.source import NEIGHBOURS, Source
from helpers.gpt.runs import Run
from helpers.tables import SPLITS


class RunSource(Source):
    """A training run, finished or not.

    Args:
        until: the last epoch to show; a run may have been trained further than the settings that ask for it.
    """

    moment_name = "epoch"
    splits: dict[str, str]

    def __init__(self, run: Run, until: float = math.inf) -> None:
        progress = run.progress
        self.run, self.name, self.folder = run, run.name, run.folder
        self.moments = sorted(int(e) for e in progress["logged"] if int(e) <= until)
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
