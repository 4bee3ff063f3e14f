"""One plot of the explorer: a layer of a source at a moment, drawn by jupyter-scatter in the browser.

What a plot is to show is noted first (move, paint) and sent when the explorer says so, in one message; a change of
colour alone sends no points, but the palette of groups of instances that share their labels.
"""

import functools
import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import ipywidgets as widgets
import numpy as np
import pandas as pd
from jscatter import Scatter
from matplotlib.colors import to_rgba

from helpers import store
from helpers.explorer import projections, sources
from helpers.explorer.sources import Source
from helpers.explorer.widgets import offer
from helpers.figures.style import SPACE_TITLES
from helpers.tables import LABELS

if TYPE_CHECKING:
    from helpers.explorer.app import Explorer

COLOURS = {
    "task": "task", "distribution": "distribution", "mapping": "mapping",
    "distribution_mapping": "distribution and mapping", "input": "input", "output": "output",
    "cluster": "cluster found by KMeans", "correct": "answered rightly", "kind": "hard, original or unseen",
}  # fmt: skip
GROUPS = 300  # of instances that share their colours, at most: a plot's palette has two entries for each
UNKNOWN = "#999999"
SPACES = {name: SPACE_TITLES[name] for name in ("raw", "centred")}
FOLLOW = "as the slider"
SAME = "the same run"
TRANSITION = 350  # milliseconds in which points move to their places


class Panel(widgets.VBox):
    """One plot: a layer of a source at a moment, raw or input-centred.

    Args:
        explorer: that it belongs to.
        layer: shown at first.
    """

    def __init__(self, explorer: "Explorer", layer: int) -> None:
        self.explorer, self.other, self.drawn = explorer, None, False
        narrow = {"layout": widgets.Layout(width="auto", flex="1 1 90px"), "style": {"description_width": "initial"}}
        self.layer = widgets.Dropdown(options=range(explorer.source.layers), value=layer, description="layer", **narrow)
        self.space = widgets.Dropdown(options=[(v, k) for k, v in SPACES.items()], **narrow)
        self.moment = widgets.Dropdown(description=explorer.source.moment_name, **narrow)
        self.run = widgets.Dropdown(description="of", **narrow)
        self.scatter, self.title = None, widgets.HTML()
        controls = [self.layer, self.space, self.moment]
        if explorer.all_panels:  # the first plot's run is the explorer's: what is selected there is its instances
            controls.append(self.run)
        super().__init__([widgets.HBox(controls), self.title])
        self.add_class("clm-plot")
        self.fill()
        for control in (self.layer, self.space, self.moment):
            control.observe(lambda _: self.explorer.safely(lambda: self.explorer.move([self])), "value")
        self.run.observe(lambda _: self.explorer.safely(self.change_run), "value")

    @property
    def source(self) -> Source:
        """What this panel shows: its explorer's source, or another one."""
        return self.other or self.explorer.source

    @property
    def split(self) -> str:
        """The evaluation set, or the source's own where that is another kind."""
        split = self.explorer.split.value
        return split if split in self.source.splits else next(iter(self.source.splits))

    @property
    def at(self) -> tuple:
        """(split, moment, layer, space), as views takes them."""
        moments = self.source.moments
        if self.moment.value != FOLLOW:
            moment = self.moment.value
        else:  # of another run, the nearest moment
            wanted = self.explorer.moment.value
            moment = wanted if wanted in moments else min(moments, key=lambda m: abs(_number(m) - _number(wanted)))
        return self.split, moment, self.layer.value, self.space.value

    @property
    def linked(self) -> bool:
        """Whether its instances are those of the explorer's source."""
        return self.other is None or self.other.frame(self.split).equals(
            self.explorer.source.frame(self.explorer.split.value)
        )

    def fill(self) -> None:
        """Offer the source's layers and moments."""
        names = {str(f.name): str(f) for f in sources.found_folders() if f != self.explorer.source.folder}
        offer(self.run, [(SAME, SAME), *names.items()])
        offer(self.moment, [(FOLLOW, FOLLOW), *[(str(m), m) for m in self.source.moments]])
        if self.layer.value >= self.source.layers or len(self.layer.options) != self.source.layers:
            keep = min(self.layer.value, self.source.layers - 1)
            self.layer.options = range(self.source.layers)
            self.layer.value = keep

    def change_run(self) -> None:
        """Take the run chosen in this panel."""
        chosen = self.run.value
        with self.explorer.quietly():
            try:
                self.other = None if chosen in (SAME, None) else sources.open_folder(Path(chosen))
            except store.ArtefactError:
                self.run.value = str(self.other.folder) if self.other else SAME
                raise
            self.fill()
            self.draw()
        self.explorer.refresh()

    def draw(self) -> None:
        """Take the instances of the source as it is; the plot itself stays, and move() and paint() fill it."""
        frame = self.source.frame(self.split).assign(answer="", cluster="")
        count, preview = len(frame), "expression" if "expression" in frame else "instruction"
        shown = [c for c in frame if c not in {"kind", "mapping", preview}]
        if self.scatter is None:
            spread = np.linspace(-1, 1, count)  # jscatter hangs the page on a constant coordinate
            start = frame.assign(x=spread, y=spread, code=pd.Categorical(np.arange(count) % 2))
            scatter = Scatter(
                data=start, x="x", y="y", x_scale=(-1, 1), y_scale=(-1, 1), color_by="code", axes=False, legend=False,
                height=self.explorer.height, opacity=0.85, opacity_unselected=0.12, transition_points=True,
                transition_points_duration=TRANSITION, tooltip=True, tooltip_properties=shown,
                tooltip_histograms=False, tooltip_preview=preview, tooltip_preview_text_lines=4,
            )  # fmt: skip
            self.scatter = scatter.widget
            self.scatter.observe(lambda c: self.explorer.selected_in(self, c["new"]), "selection")
            self.scatter.observe(lambda c: self.explorer.hovered_in(self, c["new"]), "hovering")
        self.scatter.tooltip_enable, self.scatter.hovering = False, -1  # what is hovered may be gone: no drawing then
        self.scatter.data = frame
        self.scatter.selection = np.array([], dtype=np.uint32)
        self.scatter.tooltip_preview, self.scatter.tooltip_properties = preview, shown
        self.scatter.size = 8 if count < 1000 else 4 if count < 20_000 else 2
        known = [by for by in COLOURS if by in self.source.frame(self.split) or by in LABELS]
        self.always = groups([self.explorer.values(self, by) for by in known])
        self.palette, self.grouped = {"groups": [UNKNOWN] * (2 * self.always.max() + 2), "codes": []}, True
        points = np.zeros((count, 4), dtype=np.float32)
        self.wanted = {"points": points, "moved": False, "placed": False, "new": False}

    def insert(self) -> None:
        """Show the plot, its points being in place."""
        if not self.drawn:
            self.send()
            self.children = [self.children[0], self.title, self.scatter]
            self.drawn = True

    def move(self) -> None:
        """Put the points where they are at the panel's moment."""
        split, moment, layer, space = self.at
        method = self.explorer.projection.value
        if method != "pca" and not self.source.has_coordinates(split, layer, space, method):
            self.explorer.compute_projection(self, split, layer, space, method)
            method = "pca"  # until it is there
        points = self.source.coordinates(split, layer, space, method)[self.source.moments.index(moment)]
        self.points = points
        where = "" if self.other is None else f"{self.other.name}, "
        apart = "" if self.linked else " · other instances: not linked"
        self.title.value = (
            f"<b>{html.escape(where)}layer {layer}, {self.source.moment_name} {html.escape(str(moment))}</b>, "
            f"{SPACES[space]}, {projections.METHODS[method]}{apart}"
        )
        self._give(coordinates=points, places=self._groups_now() if self.grouped else None)
        self.explorer.moved(self)

    def paint(self, codes: np.ndarray, colours: Sequence[str]) -> None:
        """Give each point the colour of its code.

        By the palette alone where the points of each group get one colour: that is a small message, and the browser
        need not take in the points again. The palette's second part has the colours of other codes; each part stays
        as it is while the other one changes, so that nothing is drawn in a colour of neither.
        """
        places, of_group = self._groups_now(), np.zeros(self.always.max() + 1, dtype=int)
        of_group[self.always] = codes
        of_group = np.repeat(of_group, 2)  # right or wrong: what none is now may be at another moment
        of_group[places] = codes
        self.grouped = (of_group[places] == codes).all()
        if self.grouped:
            self.palette["groups"] = [colours[code] for code in of_group]
        else:
            different, numbers = np.unique(colours, return_inverse=True)
            places, self.palette["codes"] = len(of_group) + numbers[codes], different.tolist()
        self._give(places=places)

    def _groups_now(self) -> np.ndarray:
        """The group of each point: what it shares for good, and whether it is answered rightly at the moment."""
        return 2 * self.always + self.source.answers(self.split, self.at[1])["correct"].to_numpy()

    def _give(self, coordinates=None, places=None) -> None:
        """Note what the plot is to show; the explorer sends it when the browser can take it."""
        wanted = self.wanted
        if coordinates is not None:
            wanted["moved"], wanted["points"][:, :2] = True, coordinates
        if places is not None and (wanted["points"][:, 2] != places).any():
            wanted["placed"], wanted["points"][:, 2] = True, places
        wanted["new"] = True
        self.explorer.send()

    def send(self) -> bool:
        """Send what is wanted; returns whether points move."""
        wanted = self.wanted
        moved = wanted["moved"]
        with self.scatter.hold_sync():  # one message: the browser reads the rest when the points arrive
            colours = [rgba(colour) for colour in self.palette["groups"] + self.palette["codes"]]
            self.scatter.color = self.scatter.color_selected = colours
            if moved or wanted["placed"]:
                self.scatter.prevent_filter_reset = True
                self.scatter.transition_points = moved
                self.scatter.non_spatial_points_update = not moved
                self.scatter.points = wanted["points"].copy()
        self.scatter.tooltip_enable = True
        wanted |= {"new": False, "moved": False, "placed": False}
        return moved


@functools.cache
def rgba(colour: str) -> list[float]:
    """A colour as jupyter-scatter takes it: red, green, blue and opacity from 0 to 1, short as a message."""
    return [round(part, 3) for part in to_rgba(colour)]


def groups(labels: list[np.ndarray]) -> np.ndarray:
    """Number the instances by what they share: those of one number have every label alike.

    Args:
        labels: each (N,); one that would make more than GROUPS of it is left out.

    Returns:
        (N,) int from 0.
    """
    found = np.zeros(len(labels[0]), dtype=int)
    for label in labels:
        codes = pd.factorize(label, use_na_sentinel=False)[0]
        finer = pd.factorize(found * (codes.max() + 1) + codes)[0]
        if finer.max() < GROUPS:
            found = finer
    return found


def _number(moment) -> float:
    digits = "".join(c for c in str(moment) if c.isdigit())
    return float(digits or 0)
