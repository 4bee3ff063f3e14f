"""The clusters by hand, in JupyterLab: linked scatter plots of hidden states that can be followed through training.

    from helpers.explorer import explore
    explorer = explore()        # the newest run; or explore(run), explore("data/runs/..."), explore(probe)
    explorer.selection          # what is selected, as a DataFrame

From control to screen: Controls hold what the user wants. Stage and Colouring work out the Scene and the colours of
each Plot. Sender sends them when the browser is ready. Background computes KMeans and t-SNE, which are shown when
they are ready. Events holds the one lock on all widgets.
"""

import base64
import io
import os
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd

from helpers import figures, store
from helpers.explorer import sources
from helpers.explorer.background import Background
from helpers.explorer.callback_lock import Events
from helpers.explorer.panes import NeighboursPane, ScoresPane, SelectionPane
from helpers.explorer.plot import FOLLOW, Plot
from helpers.explorer.sender import PATIENCE
from helpers.explorer.source import COLOURS, Source, matching
from helpers.explorer.stage import Stage
from helpers.explorer.toolbar import Controls
from helpers.explorer.widgets import Legend, box, choose
from helpers.gpt.runs import Run
from helpers.pretrained.probe import Probe
from helpers.timing import HEADLESS

ONCE = ("count", "split", "projection", "moment", "colour", "k")  # controls that Explorer.show sets
EACH = ("layer", "space", "moment")  # those of every plot


def explore(
    what: Source | Run | Probe | list[Probe] | str | Path | None = None, plots: int = 2
) -> "Explorer | widgets.HTML":
    """Show an explorer, or a message that says what is missing and which command makes it.

    Args:
        what: a run, a probe, probes of several revisions of a model, the folder of one, or nothing for the newest run.
        plots: side by side, 1 to 4.
    """
    try:
        return Explorer(_source(what), plots)
    except store.ArtefactError as error:
        return widgets.HTML(box(str(error)))


def _source(what) -> Source:
    if what is None:
        return sources.newest()
    if isinstance(what, Source):
        return what
    if isinstance(what, Run):
        return sources.RunSource(what)
    if isinstance(what, Probe):
        return sources.ProbeSource([what])
    if isinstance(what, list | tuple):
        return sources.ProbeSource(list(what))
    path = Path(what).expanduser()
    return sources.open_folder(path if path.is_absolute() or path.exists() else store.ROOT / path)


class Explorer(widgets.VBox):
    """Linked plots of one source, with controls, scores, and what is selected.

    Args:
        source: a run or a probe, from explorer.sources.
        plots: side by side, 1 to 4.
    """

    def __init__(self, source: Source, plots: int = 2) -> None:
        self.source, self.rows = source, np.array([], dtype=int)
        self.status = widgets.HTML()
        self.events = Events(self._say_wrong)
        self.background = Background(self.events.lock, self._say_wrong)
        self.controls = Controls(plots)
        self.scores, self.near, self.table = ScoresPane(self.events, self.background), NeighboursPane(), SelectionPane()
        self.stage = Stage(
            self.controls, self.events, self.background,
            say=self.say, selected=self._select, moved=self._moved, clustered=self._show_selection,
        )  # fmt: skip
        below = widgets.HBox([self.scores, self.near], layout={"flex_flow": "row wrap", "align_items": "flex-start"})
        super().__init__([self.controls, self.status, self.stage, below, self.table])
        self.add_class("clm-explorer")
        self._watch()
        self.refresh()

    @property
    def plots(self) -> list[Plot]:
        """The plots that are shown."""
        return self.stage.plots

    @property
    def legend(self) -> Legend:
        """Names and colours; those chosen are selected."""
        return self.stage.colouring.legend

    def _watch(self) -> None:
        on, c = self.events.on, self.controls
        on(c.run, self._change_run)
        for control in (c.split, c.count):
            on(control, self.refresh)
        for control in (c.projection, c.moment):
            on(control, lambda: self.stage.move(self.plots))
        on(c.colour, self.stage.paint)
        on(c.k, self.stage.cluster)
        on(c.search, self._find)
        on(self.legend, self._select_chosen, "chosen")
        c.reload.on_click(lambda _: self.events.do(self._reload))
        for button in c.save_buttons:
            button.on_click(lambda b: self.events.do(lambda: self.save(suffix=b.description.lower())))

    def refresh(self) -> None:
        """Show the source as it is now, with nothing selected."""
        with self.events.lock:
            with self.events.suppressed():
                self.controls.offer(self.source)
                self.stage.fill(self.source)
            self.select([])
            self.stage.show()
            self.say(self.source.note)

    def _change_run(self) -> None:
        try:
            self.source = sources.open_folder(Path(self.controls.run.value))
        except store.ArtefactError:
            with self.events.suppressed():
                self.controls.run.value = str(self.source.folder)
            raise
        self.refresh()

    def _reload(self) -> None:
        self.source = sources.open_folder(self.source.folder)
        self.refresh()

    def say(self, text: str, wrong: bool = False) -> None:
        """A line above the plots; empty to take it away."""
        self.status.value = box(text, wrong) if text else ""

    def _say_wrong(self, text: str) -> None:
        self.say(text, wrong=True)

    def wait(self) -> "Explorer":
        """Return when everything that is being computed is there."""
        self.background.wait()
        return self

    # Selecting.

    @property
    def selection(self) -> pd.DataFrame:
        """The selected instances, with answer, cluster and place in the first plot."""
        return self._instances().iloc[self.rows]

    def _instances(self) -> pd.DataFrame:
        plot = self.plots[0]
        scene, points = self.stage.scene(plot), plot.points
        return scene.source.columns(*scene.place, self.controls.k.value).assign(x=points[:, 0], y=points[:, 1])

    def select(self, rows) -> None:
        """Select instances by their row numbers, in every linked plot."""
        with self.events.lock:
            self.rows = np.unique(np.asarray(rows, dtype=int))
            self.stage.select(self.rows)
            self._show_selection()
            self._show_neighbours()

    def _select(self, rows: np.ndarray) -> None:
        if not np.array_equal(rows, self.rows):
            self.select(rows)

    def _select_chosen(self) -> None:
        codes = self.stage.colouring.codes(self.plots)[0][0]
        if codes is not None:
            self.select(np.flatnonzero(np.isin(codes, self.legend.chosen)))

    def _find(self) -> None:
        text = self.controls.search.value
        rows = matching(self.source.frame(self.controls.split.value), text)
        self.select(rows)
        if text:
            self.say(f"{len(rows)} instances have {text!r} in their instruction")

    # The panes below the plots are about the first one.

    def _moved(self) -> None:
        self.scores.show(self.stage.scene(self.plots[0]))
        self._show_neighbours()

    def _show_neighbours(self) -> None:
        self.near.show(self.stage.scene(self.plots[0]), self.rows)

    def _show_selection(self) -> None:
        scene = self.stage.scene(self.plots[0])
        self.table.show(scene, self.rows, self.stage.colouring.clusters(scene), self.controls.k.value)

    # Keeping.

    def figure(self):
        """The plots as they are, as a matplotlib Figure: what the executed notebook and the report show."""
        colour = self.controls.colour.value
        if colour == "cluster":
            self.wait()
        with self.events.lock:
            instances = self.source.splits[self.stage.scene(self.plots[0]).split]
            title = f"{instances[0].upper()}{instances[1:]}, a dot each, coloured by {COLOURS[colour]}"
            return figures.explorer(self.stage.pictures(self.rows), title)

    def save(self, path: str | Path | None = None, suffix: str = "svg") -> Path:
        """Save the plots (svg, png) or the selection, or all instances if there is none (csv); says where.

        Args:
            path: figures/explorer/<run>-<set>-<moment>.<suffix> if None.
        """
        split, moment, layer, space = self.stage.scene(self.plots[0]).place
        name = f"{self.source.folder.name}-{split}-{self.source.moment_name}{moment}-layer{layer}-{space}.{suffix}"
        path = Path(path) if path else store.FIGURES / "explorer" / name.replace("/", "_")
        if path.suffix == ".csv":
            whole = self._instances()
            store.write_csv(path, whole.iloc[self.rows] if len(self.rows) else whole, digits=17)
        else:
            store.write_figure(path, self.figure(), dpi=150)
        with self.events.lock:
            self.say(f"saved {path}")
        return path

    def show(self, **choices) -> "Explorer":
        """Set several controls at once and return the explorer when all is computed.

        Args:
            choices: count, split, projection, moment, colour and k, as the controls have them; layers, spaces and
                moments, one value for each plot. Without moments, all plots follow the slider.

        Raises:
            ValueError: a control that does not exist, or a value that it does not offer.
        """
        if unknown := set(choices) - {*ONCE, *(f"{name}s" for name in EACH)}:
            raise ValueError(f"no control {', '.join(sorted(unknown))}: there are {', '.join(ONCE)}, layers, ...")
        with self.stage.sender.together():
            for name in ONCE:
                if choices.get(name) is not None:
                    choose(getattr(self.controls, name), name, choices[name])
            for name in EACH:
                given = choices.get(f"{name}s", [FOLLOW] * len(self.plots) if name == "moment" else ())
                for plot, value in zip(self.plots, given, strict=False):
                    choose(getattr(plot, name), name, value)
        return self.wait()

    def _repr_mimebundle_(self, **options):
        if os.environ.get(HEADLESS):
            return self._picture()
        self.stage.sender.expect(700, 3 * PATIENCE)  # JupyterLab has to load the plots' code first
        return super()._repr_mimebundle_(**options)

    def _picture(self) -> tuple[dict, dict]:
        """What stands where no browser draws: the plots as they are, as a mime bundle and its metadata."""
        figure, into = self.wait().figure(), io.BytesIO()
        figure.savefig(into, format="png", dpi=110, bbox_inches="tight")
        words = "An explorer, which moves in JupyterLab alone."
        picture = {"image/png": base64.b64encode(into.getvalue()).decode(), "text/plain": words}
        return picture, {"image/png": {"width": round(90 * figure.get_figwidth()), "alt": words}}
