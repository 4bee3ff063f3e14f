"""Colours of points: a value has the same colour in all plots, and the legend names it."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from helpers.explorer.background import Background
from helpers.explorer.callback_lock import Events
from helpers.explorer.plot import Plot
from helpers.explorer.scene import Scene
from helpers.explorer.toolbar import Controls
from helpers.explorer.widgets import Legend
from helpers.figures.style import palette

MOMENTARY = ("correct", "cluster")  # colours that change with the moment
ALWAYS = {"correct": ["right", "wrong"]}  # names that exist even where no instance has them


class Colouring:
    """Colours of several plots, the legend, and the clusters that plots can be coloured by.

    Args:
        controls: read, never changed.
        scene: gives what a plot shows.
    """

    def __init__(
        self, controls: Controls, events: Events, background: Background, scene: Callable[[Plot], Scene]
    ) -> None:
        self.controls, self._events, self._background, self._scene = controls, events, background, scene
        self._clusters: dict[tuple[Scene, int], np.ndarray] = {}  # of what the plots show now
        self.legend = Legend()

    def paint(self, plots: list[Plot]) -> None:
        """Colour these plots by what is chosen, and bring the legend in line with the first one."""
        codes, names = self.codes(plots)
        colours = palette(len(names))
        for plot, own in zip(plots, codes, strict=True):
            if own is not None:
                plot.paint(own, colours)
        if codes[0] is None:
            return
        counts = np.bincount(codes[0], minlength=len(names))
        items = [[str(n), c, int(k)] for n, c, k in zip(names, colours, counts, strict=True)]
        with self._events.suppressed(), self.legend.hold_sync():
            if [item[:2] for item in items] != [item[:2] for item in self.legend.items]:
                self.legend.chosen = []
            self.legend.items = items

    def codes(self, plots: list[Plot]) -> tuple[list[np.ndarray | None], list]:
        """The colour codes (N,) of each plot, None while they are computed, and their names: see shared_codes."""
        by = self.controls.colour.value
        return shared_codes([self.values(plot, by) for plot in plots], by)

    def values(self, plot: Plot, by: str) -> np.ndarray | None:
        """What the points of a plot are coloured by (N,); None while it is being computed.

        Args:
            by: one of source.COLOURS.
        """
        scene = self._scene(plot)
        return self.clusters(scene) if by == "cluster" else scene.source.values(by, scene.split, scene.moment)

    def clusters(self, scene: Scene) -> np.ndarray | None:
        """Cluster numbers (N,) of what a plot shows; None while they are being computed."""
        return self._clusters.get((scene, self.controls.k.value))

    def find_clusters(self, plots: list[Plot], then: Callable[[], None]) -> None:
        """Find the clusters of what these plots show, show them in tooltips, and call `then`."""
        k, scenes = self.controls.k.value, {plot: self._scene(plot) for plot in plots}

        def work() -> dict[tuple[Scene, int], np.ndarray]:
            return {(scene, k): scene.clusters(k) for scene in scenes.values()}

        def show(found: dict[tuple[Scene, int], np.ndarray]) -> None:
            self._clusters = found
            for plot, scene in scenes.items():
                if self._scene(plot) == scene:  # not so if the plot could not be brought in line with its controls
                    plot.describe(scene.hover_table(found[scene, k]))
            then()

        self._background.run("clusters", work, show)


def shared_codes(values: Sequence[np.ndarray | None], by: str) -> tuple[list[np.ndarray | None], list]:
    """Number the values that plots are coloured by, the same value alike in every plot.

    Args:
        values: one (N,) a plot; None where it is still being computed.
        by: one of source.COLOURS.

    Returns:
        Codes (N,) a plot, None where its values are, and the sorted names of the codes.
    """
    found = [None if v is None else pd.factorize(v, use_na_sentinel=False) for v in values]
    own = [np.asarray(ALWAYS[by], dtype=object)] if by in ALWAYS else []
    own = own or [np.asarray(uniques, dtype=object) for _, uniques in filter(None, found)]
    names = pd.Index(pd.factorize(np.concatenate(own), sort=True, use_na_sentinel=False)[1] if own else [])
    return [None if pair is None else names.get_indexer(pair[1])[pair[0]] for pair in found], list(names)
