"""The choice behind one plot (source, moment, layer, space), and the states and scores that follow from it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers.explorer.source import Source
from helpers.figures.style import SPACE_TITLES
from helpers.tables import LABELS, SCORES

SPACES = {name: SPACE_TITLES[name] for name in ("raw", "centred")}


@dataclass(frozen=True)
class Scene:
    """One choice of states; two scenes are equal if they choose the same.

    Attributes:
        split: evaluation set.
        moment: epoch or revision.
        layer: 0 is the embedding output.
        space: one of SPACES.
    """

    source: Source
    split: str
    moment: object
    layer: int
    space: str

    @property
    def place(self) -> tuple:
        """(split, moment, layer, space), as methods of Source take them."""
        return self.split, self.moment, self.layer, self.space

    @property
    def frame(self) -> pd.DataFrame:
        """See Source.frame."""
        return self.source.frame(self.split)

    @property
    def labels(self) -> dict[str, np.ndarray]:
        """See Source.labels."""
        return self.source.labels(self.split)

    @property
    def answers(self) -> pd.DataFrame:
        """See Source.answers."""
        return self.source.answers(self.split, self.moment)

    def clusters(self, k: int) -> np.ndarray:
        """See Source.numbered."""
        return self.source.numbered(*self.place, k)

    def points(self, method: str) -> np.ndarray:
        """Points in the plane (N, 2): see Source.coordinates."""
        every = self.source.coordinates(self.split, self.layer, self.space, method)
        return every[self.source.moments.index(self.moment)]

    def has_points(self, method: str) -> bool:
        """Whether `points` need not be computed."""
        return self.source.has_coordinates(self.split, self.layer, self.space, method)

    def project(self, method: str, progress: Callable[[int], None]) -> None:
        """Compute the points of all moments of this layer and space, so that `points` finds them."""
        self.source.coordinates(self.split, self.layer, self.space, method, progress)

    def scores(self) -> pd.DataFrame:
        """F1, ARI and AMI (columns) of KMeans against each identity (rows): see Source.scores."""
        return pd.DataFrame({name: self.source.scores(*self.place, name) for name in LABELS}).T[list(SCORES)]

    def knows_scores(self) -> bool:
        """Whether `scores` and `curve` need not be computed."""
        return all(self.source.knows_scores(self.split, self.layer, self.space, name) for name in LABELS)

    def curve(self, label: str, score: str) -> pd.Series:
        """See Source.curve."""
        return self.source.curve(self.split, self.layer, self.space, label, score)

    def neighbours(self, row: int) -> pd.DataFrame:
        """See Source.neighbours."""
        return self.source.neighbours(self.split, self.moment, self.layer, row)

    def neighbour_history(self, row: int) -> pd.DataFrame:
        """See Source.neighbour_history."""
        return self.source.neighbour_history(self.split, self.layer, row)

    def hover_table(self, clusters: np.ndarray) -> pd.DataFrame:
        """Instances (N rows) with cluster and answer, as a point's tooltip shows them."""
        answers = self.answers
        mark = np.where(answers["correct"], "right", "wrong")
        said = answers["answer"] + " (" + mark + ")" if "answer" in answers else pd.Series(mark)
        return self.frame.assign(cluster=clusters, answer=said.to_numpy())
