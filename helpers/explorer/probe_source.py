"""A probed language model as the explorer sees it."""

import functools

import numpy as np
import pandas as pd
from sklearn.metrics import pairwise_distances

from helpers import store
from helpers.analysis import spaces
from helpers.explorer.source import NEIGHBOURS, Source
from helpers.pretrained import table1
from helpers.pretrained.probe import Probe


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
        return table1.natural_labels(next(iter(self.probes.values())).instances)

    @functools.lru_cache(maxsize=6)  # noqa: B019
    def states(self, split: str, moment, layer: int, space: str = "raw") -> np.ndarray:
        """See Source.states; centred: less the mean state of the input word."""
        found = self.probes[moment].states(layer)
        return found if space == "raw" else spaces.input_centred(found, self.frame(split)["input"])

    @functools.lru_cache(maxsize=8)  # noqa: B019
    def answers(self, split: str, moment) -> pd.DataFrame:
        """See Source.answers; of a probe, whether the instance was solved, and no answer in words."""
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
