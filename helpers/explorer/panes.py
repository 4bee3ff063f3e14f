"""The panes below the plots: scores of the first one, neighbours of one instance, and a table of the selection."""

import html

import ipywidgets as widgets
import numpy as np
import pandas as pd

from helpers.explorer.background import Background
from helpers.explorer.callback_lock import Events
from helpers.explorer.scene import SPACES, Scene
from helpers.explorer.source import COLOURS, selection_scores
from helpers.explorer.widgets import curve_svg, table_html
from helpers.tables import LABELS, SCORES

SHOWN_ROWS = 100  # of a selection, in its table
NOTHING_SELECTED = (
    "Nothing selected: click a point, draw around some with the lasso beside the plot, or click the legend."
)


class ScoresPane(widgets.VBox):
    """F1, ARI and AMI of KMeans, and the curve of one of them over moments (or over layers, if there is one moment)."""

    def __init__(self, events: Events, background: Background) -> None:
        self._background, self._scene = background, None
        self.label = widgets.Dropdown(
            options=[(COLOURS[n], n) for n in LABELS], description="scores for", style={"description_width": "initial"}
        )
        self.score = widgets.ToggleButtons(
            options=[(s.upper(), s) for s in SCORES], style={"button_width": "50px"}, tooltips=("", "", "")
        )
        self.table, self.curve = widgets.HTML(), widgets.HTML()
        super().__init__([widgets.HBox([self.label, self.score]), self.table, self.curve])
        for control in (self.label, self.score):
            events.on(control, lambda: self.show(self._scene))

    def show(self, scene: Scene) -> None:
        """Show the scores of a scene: at once if an analysis left them, otherwise when they are computed."""
        self._scene, label, score = scene, self.label.value, self.score.value

        def work() -> tuple[pd.DataFrame, pd.Series]:
            return scene.scores(), scene.curve(label, score)

        def then(found: tuple[pd.DataFrame, pd.Series]) -> None:
            self._fill(scene, *found, f"{score.upper()} by {COLOURS[label]}")

        if scene.knows_scores():
            self._background.drop("scores")
            then(work())
        else:
            self._background.run("scores", work, then)

    def _fill(self, scene: Scene, table: pd.DataFrame, curve: pd.Series, words: str) -> None:
        name = scene.source.moment_name
        over, at = (name, scene.moment) if len(scene.source.moments) > 1 else ("layer", scene.layer)
        self.table.value = (
            f"KMeans at layer {scene.layer}, {name} {html.escape(str(scene.moment))}, {SPACES[scene.space]}"
            + table_html(table.rename(index=COLOURS, columns=str.upper).round(3))
        )  # fmt: skip
        self.curve.value = curve_svg(curve, at, f"{words}, over {over}s")


class NeighboursPane(widgets.HTML):
    """The nearest neighbours of one selected instance, and how they changed over training."""

    def show(self, scene: Scene, rows: np.ndarray) -> None:
        """Show the neighbours of the one selected row; nothing if none or several are selected."""
        self.value = self._text(scene, int(rows[0])) if len(rows) == 1 else ""

    def _text(self, scene: Scene, row: int) -> str:
        one, near, name = scene.frame.iloc[row], scene.neighbours(row), scene.source.moment_name
        near = near.assign(same_task=np.where(near["task"] == one["task"], "✓", ""), distance=near["distance"].round(2))
        said = {column: html.escape(str(one[column])) for column in ("instruction", "input", "task", "output")}
        text = (
            f"<b>Nearest to {said['instruction']} + {said['input']}</b> (task {said['task']}, output {said['output']}),"
            f" layer {scene.layer}, full space"
        )
        if near.empty:
            return f"{text}: there is no instance of another instruction"
        if len(scene.source.moments) > 1:
            history = scene.neighbour_history(row).set_index("moment")
            text += curve_svg(history["same_task"], scene.moment, f"share of neighbours with its task, over {name}s")
            text += curve_svg(history["stay"], scene.moment, "share of the final neighbours already near")
        return text + table_html(near)


class SelectionPane(widgets.HTML):
    """A table of the selected instances, and the scores of their clusters."""

    def show(self, scene: Scene, rows: np.ndarray, clusters: np.ndarray | None, k: int) -> None:
        """Show these rows of a scene; without scores while the k clusters (N,) are still computed."""
        if not len(rows):
            self.value = NOTHING_SELECTED
            return
        table, scores = scene.frame.assign(**scene.answers), ""
        if clusters is not None:
            table = table.assign(cluster=clusters)
            found = selection_scores(scene.labels, clusters, rows)
            if len(found):
                scores = f"{k} clusters against its labels:" + table_html(
                    found.rename(index=COLOURS, columns=str.upper).round(3)
                )
        more = f", the first {SHOWN_ROWS} shown" if len(rows) > SHOWN_ROWS else ""
        self.value = (
            f"<b>{len(rows)} selected</b>{more} (<code>explorer.selection</code>) {scores}"
            + table_html(table.iloc[rows[:SHOWN_ROWS]], tall=True)
        )  # fmt: skip
