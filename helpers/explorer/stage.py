"""The plots side by side: which source, moment, layer and space each of them shows, and where its points are."""

import functools
import html
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from helpers import store
from helpers.explorer import projections, sources
from helpers.explorer.background import Background
from helpers.explorer.callback_lock import Events
from helpers.explorer.colouring import MOMENTARY, Colouring
from helpers.explorer.palette import groups_of
from helpers.explorer.plot import FOLLOW, SAME, Plot
from helpers.explorer.scene import SPACES, Scene
from helpers.explorer.sender import Sender
from helpers.explorer.source import COLOURS, Source
from helpers.explorer.toolbar import Controls
from helpers.explorer.widgets import plain
from helpers.figures.style import palette
from helpers.tables import LABELS

FIRST_LAYERS = ((2 / 3,), (1 / 3, 1), (0, 1 / 2, 1), (0, 1 / 3, 2 / 3, 1))  # shares of the depth, by number of plots


class Stage(widgets.VBox):
    """Linked plots of one source, or of several where a plot has a run of its own.

    Args:
        controls: read, never changed.
        say: shows a line of text.
        selected: called with the rows (n,) that the user selected in a linked plot.
        moved: called when the points of the first plot were moved.
        clustered: called when the clusters of what the plots show were found.

    Attributes:
        plots: those shown, from left to right.
        colouring: what they are coloured by, and the legend.
    """

    def __init__(
        self,
        controls: Controls,
        events: Events,
        background: Background,
        say: Callable[[str], None],
        selected: Callable[[np.ndarray], None],
        moved: Callable[[], None],
        clustered: Callable[[], None],
    ) -> None:
        self.controls, self._events, self._background = controls, events, background
        self._say, self._selected, self._moved, self._clustered = say, selected, moved, clustered
        self.source: Source | None = None
        self._others: dict[str, Source] = {}  # by folder: sources of plots with a run of their own
        self.plots: list[Plot] = []
        self._made: list[Plot] = []  # those not shown are kept, their widgets alive
        self._arranged: list[Plot] = []
        self.colouring = Colouring(controls, events, background, self.scene)
        self.sender = Sender(events.lock, lambda: self.plots, self._arrange)
        self._grid = widgets.GridBox()
        super().__init__([self.colouring.legend, self._grid])

    # Which plots there are, and what each shows.

    def fill(self, source: Source) -> None:
        """Show as many plots as the controls say, with the instances of a source as it is now.

        Called while callbacks are suppressed; `show` then moves and colours the points.
        """
        if self.source is not None and source.folder != self.source.folder:
            self._others.clear()
            for plot in self._made:
                plot.run.value = SAME
        self.source, count, before = source, self.controls.count.value, len(self._made)
        while len(self._made) < count:  # the first plot shows the explorer's run, whose instances a selection holds
            self._made.append(
                Plot(self._events, bool(self._made), self._changed, self._change_run, self._select, self._hover)
            )
        self.plots = self._made[:count]
        for number, plot in enumerate(self.plots):
            self._fill(plot)
            if number >= before:
                plot.layer.value = round((source.layers - 1) * FIRST_LAYERS[count - 1][number])

    def _fill(self, plot: Plot) -> None:
        source = self.source_of(plot)
        runs = {f.name: str(f) for f in sources.found_folders() if f != self.source.folder}
        plot.offer(source.layers, source.moment_name, source.moments, runs)
        scene = self.scene(plot)
        known = [by for by in COLOURS if by in scene.frame or by in LABELS]
        plot.take(scene.frame, groups_of([source.values(by, scene.split, scene.moment) for by in known]))

    def source_of(self, plot: Plot) -> Source:
        """The source of a plot: that of all of them, or one of its own."""
        return self._others.get(plot.run.value, self.source)

    def scene(self, plot: Plot) -> Scene:
        """What a plot shows, as its controls and those of the explorer say."""
        source, split, moment = self.source_of(plot), self.controls.split.value, plot.moment.value
        if moment == FOLLOW:
            moment = _nearest(source.moments, self.controls.moment.value)
        split = split if split in source.splits else next(iter(source.splits))
        return Scene(source, split, moment, plot.layer.value, plot.space.value)

    def linked(self, plot: Plot) -> bool:
        """Whether the instances of a plot are those of the first one."""
        source = self.source_of(plot)
        return source is self.source or self.scene(plot).frame.equals(self.source.frame(self.controls.split.value))

    def _arrange(self) -> bool:
        """Put the plots that are to be shown on the page; one that is there stays, or the browser would rebuild it."""
        if self.plots == self._arranged:
            return False
        for plot in self.plots:
            plot.insert()
        self._arranged = list(self.plots)
        self._grid.layout.grid_template_columns = f"repeat({min(2, len(self.plots))}, minmax(0, 1fr))"
        self._grid.children = self.plots
        return True

    # Points.

    def show(self) -> None:
        """Move and colour every plot."""
        with self.sender.together():
            self.move(self.plots)
            self.paint()

    def move(self, plots: list[Plot]) -> None:
        """Put the points of these plots where their scenes have them."""
        with self.sender.together():
            for plot in plots:
                self._place(plot)
            if self.controls.colour.value in MOMENTARY:
                self.paint()
        if self.plots[0] in plots:
            self._moved()
        self.cluster()

    def _place(self, plot: Plot) -> None:
        scene, method = self.scene(plot), self.controls.projection.value
        if method != "pca" and not scene.has_points(method):
            self._project(scene, method)
            method = "pca"  # until it is computed
        where = "" if scene.source is self.source else f"{scene.source.name}, "
        apart = "" if self.linked(plot) else " · other instances: not linked"
        title = (
            f"<b>{html.escape(where)}layer {scene.layer}, {scene.source.moment_name} {html.escape(str(scene.moment))}"
            f"</b>, {SPACES[scene.space]}, {projections.METHODS[method]}{apart}"
        )
        plot.place(scene.points(method), scene.answers["correct"].to_numpy(), title)

    def _project(self, scene: Scene, method: str) -> None:
        """Compute a projection in the background, and show it in every plot that then wants it."""
        scene = replace(scene, moment=None)  # it is for all moments
        topic = ("projection", method, scene)
        if self._background.has(topic):
            return
        words, total = f"{projections.METHODS[method]} of layer {scene.layer}: ", len(scene.source.moments)

        def progress(done: int) -> None:
            text = f"{words}{done} of {total}; PCA is shown meanwhile"
            self._background.tell(functools.partial(self._say, text))

        def then(_) -> None:
            self._say(self.source.note)
            wanting = [plot for plot in self.plots if replace(self.scene(plot), moment=None) == scene]
            if wanting and self.controls.projection.value == method:
                self.move(wanting)

        self._say(f"{words}computing")
        self._background.run(topic, lambda: scene.project(method, progress), then)

    def _changed(self, plot: Plot) -> None:
        self.move([plot])

    def _change_run(self, plot: Plot, before: str) -> None:
        chosen = plot.run.value
        with self._events.suppressed():
            if chosen != SAME:
                try:
                    self._others[chosen] = sources.open_folder(Path(chosen))
                except store.ArtefactError:
                    plot.run.value = before
                    raise
            self._fill(plot)
        self._selected(np.array([], dtype=int))
        self.show()
        self._say(self.source.note)

    # Colours.

    def paint(self) -> None:
        """Colour every plot by what is chosen."""
        with self.sender.together():
            self.colouring.paint(self.plots)

    def cluster(self) -> None:
        """Find the clusters of what the plots show, in the background; then update colours and tooltips."""

        def then() -> None:
            if self.controls.colour.value == "cluster":
                self.paint()
            self._clustered()

        self.colouring.find_clusters(self.plots, then)

    # Selecting.

    def select(self, rows: np.ndarray) -> None:
        """Mark these rows in every linked plot."""
        for plot in self.plots:
            if self.linked(plot):
                plot.select(rows)

    def _select(self, plot: Plot, rows: np.ndarray) -> None:
        if self.linked(plot):
            self._selected(rows)

    def _hover(self, plot: Plot, row: int | None) -> None:
        if self.linked(plot):
            for other in self.plots:
                if other is not plot and self.linked(other):
                    other.hover(row)

    def pictures(self, rows: np.ndarray) -> list[dict]:
        """The plots as figures.explorer takes them, with these rows selected."""
        codes, names = self.colouring.codes(self.plots)
        names = [str(name) for name in names] or ["not known"]
        return [
            {"title": plain(plot.title.value), "points": plot.points, "names": names,
             "codes": np.zeros(len(plot.points), dtype=int) if own is None else own,
             "colours": palette(len(names)), "selected": rows if self.linked(plot) else rows[:0]}
            for plot, own in zip(self.plots, codes, strict=True)
        ]  # fmt: skip


def _nearest(moments: list, wanted) -> object:
    """The moment itself, or the nearest one by the number in its name where a source has others."""
    return wanted if wanted in moments else min(moments, key=lambda m: abs(_number(m) - _number(wanted)))


def _number(moment) -> float:
    """The first number in a name, such as 1000 in step1000-tokens2B; 0 without one."""
    found = re.search(r"\d+", str(moment))
    return float(found[0]) if found else 0.0
