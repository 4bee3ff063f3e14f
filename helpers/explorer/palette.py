"""Colours of points as a palette, and for each point its entry there: most changes of colour are a new palette alone.

A palette is a small message. The points are a large one, which the browser has to take in and upload again. Measured
in a browser without a GPU, on two busy cores, against sending colour codes with the points: a change of colour was on
the screen 0.2 s sooner at the median with one plot of 8,800 points (0.3 s, not 0.5 s), 0.4 s with one of 100,000. The
fastest of 30 changes were 23 ms (one plot) and 52 ms (two plots of 8,800) apart.
"""

import functools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgba

MOST_GROUPS = 300  # a palette has two entries for each
UNKNOWN = "#999999"


class Palette:
    """The palette of one plot, and the entry that each of its points has.

    Instances whose labels are all the same form a group, and every group has two entries: for its instances that are
    answered wrongly and rightly at the plot's moment. To colour by a label, or by answers, entries stay and colours
    change:

        instance  task  input  right   group  entry        entry     0   1   2   3   4   5    6   7   8
            0      A     x      no       0      0          group     A x     A y     B x    (by code)
            1      A     x      yes      0      1          by task   red red red red blu blu   .   .   .
            2      A     y      yes      1      3          by input  red red blu blu red red   .   .   .
            3      B     x      no       2      4          by right  red blu red blu red blu   .   .   .

    Clusters cut through groups: then each code has an entry of its own (6, 7, ...), behind those of the groups, and
    points change theirs. Each part of the palette stays as it is while the other one is in use, so that nothing is
    drawn in a wrong colour between the arrival of the palette and that of the points.

    Args:
        groups: (N,) int from 0, from `groups_of`.

    Attributes:
        entries: (N,) int, the entry of each point.
    """

    def __init__(self, groups: np.ndarray) -> None:
        self._groups, self._right = groups, np.zeros(len(groups), dtype=bool)
        self._of_groups, self._of_codes = [UNKNOWN] * (2 * groups.max() + 2), []
        self._grouped, self.entries = True, self._group_entries()

    @property
    def colours(self) -> list[str]:
        """The colour of each entry."""
        return self._of_groups + self._of_codes

    def follow(self, right: np.ndarray) -> None:
        """Take over which instances (N,) are answered rightly at another moment."""
        self._right = np.asarray(right, dtype=bool)
        if self._grouped:
            self.entries = self._group_entries()

    def paint(self, codes: np.ndarray, colours: Sequence[str]) -> None:
        """Give each point the colour of its code (N,)."""
        entries = self._group_entries()
        code_of_group = np.zeros(self._groups.max() + 1, dtype=int)
        code_of_group[self._groups] = codes
        code_of_entry = np.repeat(code_of_group, 2)  # an entry that no point has now may be in use at another moment
        code_of_entry[entries] = codes
        self._grouped = bool((code_of_entry[entries] == codes).all())
        if self._grouped:
            self.entries, self._of_groups = entries, [colours[code] for code in code_of_entry]
        else:
            different, numbers = np.unique(colours, return_inverse=True)
            self.entries, self._of_codes = len(code_of_entry) + numbers[codes], different.tolist()

    def _group_entries(self) -> np.ndarray:
        return 2 * self._groups + self._right


def groups_of(labels: list[np.ndarray]) -> np.ndarray:
    """Number the instances by their labels: two have the same number if every label is the same.

    Args:
        labels: each (N,); one that would make more than MOST_GROUPS of it is left out.

    Returns:
        (N,) int from 0.
    """
    found = np.zeros(len(labels[0]), dtype=int)
    for label in labels:
        codes = pd.factorize(label, use_na_sentinel=False)[0]
        finer = pd.factorize(found * (codes.max() + 1) + codes)[0]
        if finer.max() < MOST_GROUPS:
            found = finer
    return found


@functools.cache
def rgba(colour: str) -> list[float]:
    """A colour as jupyter-scatter takes it: red, green, blue and opacity from 0 to 1, short as a message."""
    return [round(part, 3) for part in to_rgba(colour)]
