"""The variance of hidden states, in shares that add up to one.

Input, task and output are main effects, and correlated: an instance's task and input together fix its output (but for
the control with shuffled outputs). Their parts are Shapley values of explained variance, the mean of what each adds
over all orders of entry (Lindeman, Merenda and Gold 1980). The interaction of task and input, distributions, and
instructions follow as sequential sums of squares, each orthogonal to all that comes before it.
"""

from functools import cache
from itertools import permutations

import numpy as np
import pandas as pd

from helpers.analysis.scores import rounded

MAIN = ("input", "task", "output")
PARTS = (*MAIN, "mapping", "distribution", "instruction", "rest")  # in the order in which they are entered


class Parts:
    """Shares of variance for one set of instances, whatever their states are."""

    def __init__(self, frame: pd.DataFrame) -> None:
        """Args: frame: the N instances, with task, input, output, distribution and instruction_id."""
        self._mapping = frame.groupby(["task", "input"]).ngroup()
        self._columns = {name: _indicators(frame[name]) for name in (*MAIN, "distribution")}
        self._columns |= {"mapping": _indicators(self._mapping), "instruction": _indicators(frame["instruction_id"])}
        self._bases: dict[frozenset, np.ndarray] = {}

    def of(self, states: np.ndarray) -> dict[str, float]:
        """Share of each of PARTS for states (N, D); all are 0 where the states do not vary."""
        centred = states - states.mean(0)
        total = float((centred**2).sum())
        if total <= np.finfo(float).eps * float((states**2).sum()):
            return dict.fromkeys(PARTS, 0.0)

        @cache  # orders of entry share their beginnings
        def explained(names: frozenset[str]) -> float:
            return float(((self._basis(names).T @ centred) ** 2).sum()) / total

        def added(name: str, order: tuple[str, ...]) -> float:
            place = order.index(name)
            return explained(frozenset(order[: place + 1])) - explained(frozenset(order[:place]))

        orders = list(permutations(MAIN))
        found = {name: float(np.mean([added(name, order) for order in orders])) for name in MAIN}
        # Main effects stay: where outputs are shuffled, an instance's task and input do not fix its output.
        entered = (MAIN, *((*MAIN, "mapping", *more) for more in ((), ("distribution",), ("instruction",))))
        steps = [*(explained(frozenset(names)) for names in entered), 1.0]
        found |= dict(zip(PARTS[len(MAIN) :], map(float, np.diff(steps)), strict=True))
        return {name: rounded(share) + 0.0 for name, share in found.items()}  # no -0

    def _basis(self, names: frozenset[str]) -> np.ndarray:
        """Orthonormal basis (N, rank) of the factors' centred dummy variables."""
        if names not in self._bases:
            none = np.zeros((len(self._mapping), 1))
            columns = np.concatenate([none, *(self._columns[n] for n in sorted(names))], axis=1)
            left, size, _ = np.linalg.svd(columns - columns.mean(0), full_matrices=False)
            self._bases[names] = left[:, size > 1e-9 * max(size[0], 1)]
        return self._bases[names]


def _indicators(labels: pd.Series) -> np.ndarray:
    """(N, groups): 1 where an instance is of the group."""
    return pd.get_dummies(labels).to_numpy(float)
