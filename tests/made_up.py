"""A source of made-up states, of any size, for tests and measurements of the explorer."""

from pathlib import Path

import numpy as np
import pandas as pd

from helpers.explorer.source import NEIGHBOURS, Source


class MadeUp(Source):
    """Instances of 16 tasks, whose states move apart over moments and layers.

    Args:
        count: of instances.
        moments: how many.
        folder: for projections.
    """

    name, moment_name, layers, restarts = "made up", "epoch", 3, 1

    def __init__(self, count: int, moments: int, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.splits = {"all": "made-up instances"}
        self.folder, self.moments = Path(folder), list(range(moments))
        self.task = rng.integers(0, 16, count)
        self.base, self.noise = rng.normal(size=(16, 64)), rng.normal(size=(count, 64)).astype(np.float32)
        inputs = rng.choice(list("abcdefg"), count)
        named = {"instruction": [f"instruction {i}" for i in range(count)], "input": inputs, "output": "y"}
        self.table = pd.DataFrame({**named, "task": self.task, "distribution": self.task % 5, "mapping": 0})

    def frame(self, split):
        return self.table

    def labels(self, split):
        return {"task": self.task, "distribution": self.task % 5, "distribution_mapping": self.task}

    def states(self, split, moment, layer, space="raw"):
        return ((1 + moment) * self.base[self.task] * (1 + layer) + self.noise).astype(np.float32)

    def answers(self, split, moment):
        return pd.DataFrame({"correct": self.task % 2 == moment % 2})

    def neighbours(self, split, moment, layer, row, k=NEIGHBOURS):
        states = self.states(split, moment, layer)
        near = self.table.assign(distance=np.linalg.norm(states - states[row], axis=1)).drop(index=row)
        return near.nsmallest(k, "distance")[["distance", "task", "input", "output", "instruction"]]
