"""One scatter plot in the browser, drawn by jupyter-scatter, with controls of its own.

A plot knows no explorer: it is told points, colours and a title, and calls back when the user asks for another layer,
selects or hovers. What it is told is kept until `send`, which makes one message of it.
"""

from collections.abc import Callable, Sequence

import ipywidgets as widgets
import numpy as np
import pandas as pd
from jscatter import Scatter

from helpers.explorer.callback_lock import Events
from helpers.explorer.palette import Palette, rgba
from helpers.explorer.scene import SPACES
from helpers.explorer.widgets import offer

FOLLOW = "as the slider"
SAME = "the same run"
TRANSITION = 350  # milliseconds in which points move to their places
HEIGHT = 340  # pixels


class Plot(widgets.VBox):
    """A scatter plot, and controls for its layer, space, moment and run.

    Args:
        events: of the explorer, or of whoever shows the plot.
        with_run: whether it can show another run than the plots beside it.
        changed: called with the plot when the user chooses another layer, space or moment.
        run_changed: called with the plot and the run chosen before when the user chooses another one.
        selected: called with the plot and the rows that the user selected, (n,) int.
        hovered: called with the plot and the row that the user hovers over, None for no row.

    Attributes:
        layer, space, moment, run: controls; moment and run may be FOLLOW and SAME.
        title: HTML above the points.
        points: (N, 2) float32 from -1 to 1, where the points are or are on their way to.
        pending: whether there is something to send.
    """

    def __init__(
        self,
        events: Events,
        with_run: bool,
        changed: Callable[["Plot"], None],
        run_changed: Callable[["Plot", str], None],
        selected: Callable[["Plot", np.ndarray], None],
        hovered: Callable[["Plot", int | None], None],
    ) -> None:
        self._events, self._selected, self._hovered = events, selected, hovered
        narrow = {"layout": widgets.Layout(width="auto", flex="1 1 90px"), "style": {"description_width": "initial"}}
        self.layer = widgets.Dropdown(options=[0], description="layer", **narrow)
        self.space = widgets.Dropdown(options=[(v, k) for k, v in SPACES.items()], **narrow)
        self.moment = widgets.Dropdown(**narrow)
        self.run = widgets.Dropdown(options=[SAME], description="of", **narrow)
        self.scatter, self.title, self._shown = None, widgets.HTML(), False
        controls = [self.layer, self.space, self.moment, *([self.run] if with_run else [])]
        super().__init__([widgets.HBox(controls), self.title])
        self.add_class("clm-plot")
        for control in (self.layer, self.space, self.moment):
            events.on(control, lambda: changed(self))
        self.run.observe(lambda change: events.do(lambda: run_changed(self, change["old"])), "value")

    def offer(self, layers: int, moment_name: str, moments: Sequence, runs: dict[str, str]) -> None:
        """Offer so many layers, these moments, and runs (name -> value); what is chosen stays where it still exists."""
        offer(self.run, [(SAME, SAME), *runs.items()])
        self.moment.description = moment_name
        offer(self.moment, [(FOLLOW, FOLLOW), *[(str(m), m) for m in moments]])
        if len(self.layer.options) != layers:
            keep = min(self.layer.value, layers - 1)
            self.layer.options = range(layers)
            self.layer.value = keep

    def take(self, frame: pd.DataFrame, groups: np.ndarray) -> None:
        """Show other instances, none selected; `place` and `paint` say where and how.

        Args:
            frame: N instances, as tooltips show them.
            groups: (N,) from palette.groups_of.
        """
        frame = frame.assign(answer="", cluster="")
        count, preview = len(frame), "expression" if "expression" in frame else "instruction"
        told = [c for c in frame if c not in {"kind", "mapping", preview}]
        if self.scatter is None:
            self.scatter = _scatter(frame, preview, told)
            self.scatter.observe(lambda change: self._events.do(lambda: self._select(change["new"])), "selection")
            self.scatter.observe(lambda change: self._events.do(lambda: self._hovered(self, change["new"])), "hovering")
        self.scatter.tooltip_enable, self.scatter.hovering = False, -1  # the hovered instance may be gone
        self.scatter.data = frame
        self.select(np.array([], dtype=int))
        self.scatter.tooltip_preview, self.scatter.tooltip_properties = preview, told
        self.scatter.size = 8 if count < 1000 else 4 if count < 20_000 else 2
        self.palette = Palette(groups)
        self.points = np.zeros((count, 2), dtype=np.float32)
        self._sent = np.full((count, 4), np.nan, dtype=np.float32)  # x, y, entry of the palette, unused
        self.pending = False

    def place(self, points: np.ndarray, right: np.ndarray, title: str) -> None:
        """Put the points elsewhere.

        Args:
            points: (N, 2) from -1 to 1.
            right: (N,) whether each instance is answered rightly there.
            title: HTML.
        """
        self.points, self.title.value, self.pending = points, title, True
        self.palette.follow(right)

    def paint(self, codes: np.ndarray, colours: Sequence[str]) -> None:
        """Give each point the colour of its code (N,)."""
        self.palette.paint(codes, colours)
        self.pending = True

    def describe(self, frame: pd.DataFrame) -> None:
        """Show these columns (N rows) in tooltips."""
        self.scatter.data = frame

    def select(self, rows: np.ndarray) -> None:
        """Mark rows as selected, without a callback."""
        with self._events.suppressed():
            self.scatter.selection = rows.astype(np.uint32)

    def hover(self, row: int | None) -> None:
        """Mark a row as hovered over, without a callback."""
        with self._events.suppressed():
            self.scatter.hovering = -1 if row is None else row

    def insert(self) -> None:
        """Put the scatter plot on the page, with the points in place already."""
        if not self._shown:
            self.send()
            self.children = [*self.children, self.scatter]
            self._shown = True

    def send(self) -> int:
        """Send what the plot is to show; returns the milliseconds that the browser needs for it."""
        now = np.zeros_like(self._sent)
        now[:, :2], now[:, 2] = self.points, self.palette.entries
        moved = bool((now[:, :2] != self._sent[:, :2]).any())
        with self.scatter.hold_sync():  # one message: the browser reads the rest when the points arrive
            self.scatter.color = self.scatter.color_selected = [rgba(colour) for colour in self.palette.colours]
            if moved or (now[:, 2] != self._sent[:, 2]).any():
                self.scatter.prevent_filter_reset = True
                self.scatter.transition_points = moved
                self.scatter.non_spatial_points_update = not moved
                self.scatter.points = self._sent = now
        self.scatter.tooltip_enable = True
        self.pending = False
        return TRANSITION + 80 if moved else 60

    def _select(self, rows) -> None:
        self._selected(self, np.unique(np.asarray([] if rows is None else rows, dtype=int)))


def _scatter(frame: pd.DataFrame, preview: str, told: list[str]):
    """The widget of jupyter-scatter for N instances; its points are set later."""
    count = len(frame)
    spread = np.linspace(-1, 1, count)  # jscatter hangs the page on a constant coordinate
    start = frame.assign(x=spread, y=spread, code=pd.Categorical(np.arange(count) % 2))
    return Scatter(
        data=start, x="x", y="y", x_scale=(-1, 1), y_scale=(-1, 1), color_by="code", axes=False, legend=False,
        height=HEIGHT, opacity=0.85, opacity_unselected=0.12, transition_points=True,
        transition_points_duration=TRANSITION, tooltip=True, tooltip_properties=told,
        tooltip_histograms=False, tooltip_preview=preview, tooltip_preview_text_lines=4,
    ).widget  # fmt: skip
