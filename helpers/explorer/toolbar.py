"""The rows of controls above the plots: what to show, of which source, in which colours."""

import ipywidgets as widgets
import numpy as np

from helpers.explorer import projections, sources
from helpers.explorer.source import COLOURS, Source
from helpers.explorer.widgets import offer

MOST_PLOTS = 4


class Controls(widgets.VBox):
    """Controls that set nothing off by themselves; the explorer watches them.

    Args:
        plots: side by side, 1 to MOST_PLOTS.
    """

    def __init__(self, plots: int) -> None:
        self._k_was_set_for: tuple = ()
        self._choosing()
        self._colouring()
        self.count = _dropdown("plots", "100px", options=range(1, MOST_PLOTS + 1), value=plots)
        self.save_buttons = [
            widgets.Button(description=s.upper(), icon="download", layout={"width": "80px"}, tooltip=f"save as {s}")
            for s in ("svg", "png", "csv")
        ]
        save = widgets.HBox([widgets.Label("save"), *self.save_buttons])
        rows = (
            [self.run, self.reload, self.split, self.count],
            [self.play, self.moment, self.projection],
            [self.colour, self.k, self.search, save],
        )
        super().__init__([widgets.HBox(row, layout={"flex_flow": "row wrap"}) for row in rows])

    def _choosing(self) -> None:
        self.run = _dropdown("run", "330px")
        self.reload = widgets.Button(icon="refresh", tooltip="look for new runs and epochs", layout={"width": "38px"})
        self.split = _dropdown("instances", "330px")
        self.projection = _dropdown("projection", "170px", options=[(v, k) for k, v in projections.METHODS.items()])
        self.play = widgets.Play(interval=700, tooltip="run through training")
        self.moment = widgets.SelectionSlider(
            options=["-"], continuous_update=False, layout={"width": "520px"}, style={"description_width": "initial"}
        )
        self._jslink = widgets.jslink((self.play, "value"), (self.moment, "index"))

    def _colouring(self) -> None:
        style = {"description_width": "initial"}
        self.colour = _dropdown("colour by", "270px")
        self.k = widgets.BoundedIntText(min=2, max=500, description="clusters", layout={"width": "140px"}, style=style)
        self.search = widgets.Text(
            description="instruction contains", continuous_update=False, placeholder="press Enter", style=style
        )

    def offer(self, source: Source) -> None:
        """Offer what a source has, keeping what is chosen where it still exists."""
        folders = [f for f in sources.found_folders() if f != source.folder]
        self.run.options = [(source.name, str(source.folder)), *[(f.name, str(f)) for f in folders]]
        self.run.value = str(source.folder)
        offer(self.split, [(words, key) for key, words in source.splits.items()])
        self._offer_moments(source)
        known = {*source.frame(self.split.value), "distribution_mapping", "cluster", "correct"}
        offer(self.colour, [(words, key) for key, words in COLOURS.items() if key in known])
        if self._k_was_set_for != (source.folder, self.split.value):
            self._k_was_set_for = source.folder, self.split.value
            self.k.value = len(np.unique(source.labels(self.split.value)["task"]))

    def _offer_moments(self, source: Source) -> None:
        last = self.moment.value if self.moment.value in source.moments else source.moments[-1]
        self.moment.options = [(str(m), m) for m in source.moments]
        self.moment.value = last
        self.moment.description = source.moment_name
        self.play.max = len(source.moments) - 1
        self.play.value = source.moments.index(last)
        self.play.disabled = self.moment.disabled = len(source.moments) == 1


def _dropdown(words: str, width: str, **options) -> widgets.Dropdown:
    return widgets.Dropdown(
        description=words, layout={"width": width}, style={"description_width": "initial"}, **options
    )
