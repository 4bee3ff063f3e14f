"""The clusters by hand, in JupyterLab: linked scatter plots of hidden states that can be followed through training.

    from helpers.explorer import explore
    explorer = explore()        # the newest run; or explore(run), explore("data/runs/..."), explore(probe)
    explorer.selection          # what is selected, as a DataFrame

A plot is a Panel of explorer.plot; what there is to see comes from explorer.sources. Whatever needs KMeans or
t-SNE is computed beside the plot, in a thread, and shown when it is there.
"""

import contextlib
import html
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd

from helpers import figures, store
from helpers.explorer import projections, sources
from helpers.explorer.plot import COLOURS, FOLLOW, SAME, SPACES, TRANSITION, Panel
from helpers.explorer.sources import Source
from helpers.explorer.widgets import Legend, Pacer, box, choose, curve_svg, offer, plain, table_html
from helpers.figures.style import palette
from helpers.gpt.runs import Run
from helpers.pretrained.probe import Probe
from helpers.tables import LABELS, SCORES
from helpers.workspace import HEADLESS

MOMENTARY = ("correct", "cluster")  # colours that change with the epoch
PATIENCE = 3.0  # seconds after which a browser that does not answer is sent to anyway
SHOWN_ROWS = 100  # of a selection, in its table


def explore(
    what: "Source | Run | Probe | list[Probe] | str | Path | None" = None, panels: int = 2
) -> "Explorer | widgets.HTML":
    """Show an explorer, or a message that says what is missing and which command makes it.

    Args:
        what: a run, a probe, probes of several revisions of a model, the folder of one, or nothing for the newest run.
        panels: plots side by side, 1 to 4.
    """
    try:
        return Explorer(_source(what), panels)
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
        source: from explorer.sources.
        panels: plots side by side, 1 to 4.
    """

    height = 340  # pixels of a plot

    def __init__(self, source: Source, panels: int = 2) -> None:
        self.source = source
        self.rows = np.array([], dtype=int)
        self._quiet = False  # while one change makes others
        self._pool, self._turn = ThreadPoolExecutor(1), 0
        self._arranged: list[int] = []
        self._offered: tuple = ()  # source and set whose number of tasks k was set to
        self._clusters: dict[tuple, np.ndarray] = {}  # of what the plots show now
        self._pacer, self._busy_until, self._lock, self._held = Pacer(), 0.0, threading.RLock(), 0
        self._pacer.observe(self._drawn, "drawn")
        self._make_controls(panels)
        self.panels: list[Panel] = []  # shown
        self.all_panels: list[Panel] = []  # closed ones are kept, their widgets alive
        super().__init__()
        self.add_class("clm-explorer")
        self._watch()
        self.refresh(panels_too=True)

    # What the user sees and sets.

    def _make_controls(self, panels: int) -> None:
        wide = {"style": {"description_width": "initial"}}
        self.run = widgets.Dropdown(description="run", layout=widgets.Layout(width="330px"), **wide)
        self.reload = widgets.Button(icon="refresh", tooltip="look for new runs and epochs", layout={"width": "38px"})
        self.split = widgets.Dropdown(description="instances", layout={"width": "330px"}, **wide)
        self.projection = widgets.Dropdown(
            options=[(v, k) for k, v in projections.METHODS.items()], description="projection",
            layout={"width": "170px"}, **wide,
        )  # fmt: skip
        self.count = widgets.Dropdown(
            options=range(1, 5), value=panels, description="plots", layout={"width": "100px"}, **wide
        )
        self.play = widgets.Play(interval=700, tooltip="run through training")
        self.moment = widgets.SelectionSlider(
            options=["-"],
            continuous_update=False,
            description=self.source.moment_name,
            layout={"width": "520px"},
            **wide,
        )
        self.colour = widgets.Dropdown(description="colour by", layout={"width": "270px"}, **wide)
        self.k = widgets.BoundedIntText(min=2, max=500, description="clusters", layout={"width": "140px"}, **wide)
        self.search = widgets.Text(
            description="instruction contains", continuous_update=False, placeholder="press Enter", **wide
        )
        self.label = widgets.Dropdown(options=[(COLOURS[n], n) for n in LABELS], description="scores for", **wide)
        self.score = widgets.ToggleButtons(
            options=[(s.upper(), s) for s in SCORES], style={"button_width": "50px"}, tooltips=("", "", "")
        )
        self.legend = Legend()
        self.status, self.scores, self.curve = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.table, self.near = widgets.HTML(), widgets.HTML()
        self.save_buttons = [
            widgets.Button(description=s.upper(), icon="download", layout={"width": "80px"}, tooltip=f"save as {s}")
            for s in ("svg", "png", "csv")
        ]
        self._grid = widgets.GridBox()
        self._jslink = widgets.jslink((self.play, "value"), (self.moment, "index"))

    def _watch(self) -> None:
        self.run.observe(lambda _: self.safely(self._change_run), "value")
        self.reload.on_click(lambda _: self.safely(self._reload))
        self.split.observe(lambda _: self.safely(self._change_split), "value")
        self.count.observe(lambda _: self.safely(lambda: self.refresh(panels_too=True)), "value")
        self.projection.observe(lambda _: self.safely(lambda: self.move(self.panels)), "value")
        self.moment.observe(lambda _: self.safely(lambda: self.move(self.panels)), "value")
        self.colour.observe(lambda _: self.safely(self.paint), "value")
        self.k.observe(lambda _: self.safely(self._cluster_later), "value")
        self.search.observe(lambda c: self.safely(self._find), "value")
        self.legend.observe(lambda _: self.safely(self._from_legend), "chosen")
        for control in (self.label, self.score):
            control.observe(lambda _: self.safely(self._show_scores), "value")
        for button in self.save_buttons:
            button.on_click(lambda b: self.safely(lambda: self.save(suffix=b.description.lower())))

    def _arrange(self) -> None:
        """Put everything in its place; what is there stays, since a plot that is taken out is made anew."""
        self._arranged = [id(p) for p in self.panels]
        self._grid.layout.grid_template_columns = f"repeat({min(2, len(self.panels))}, minmax(0, 1fr))"
        self._grid.children = self.panels
        if self.children:
            return
        save = widgets.HBox([widgets.Label("save"), *self.save_buttons])
        beside = widgets.VBox([widgets.HBox([self.label, self.score]), self.scores, self.curve])
        wrapped = {"flex_flow": "row wrap"}
        self.children = [
            widgets.HBox([self.run, self.reload, self.split, self.count], layout=wrapped),
            widgets.HBox([self.play, self.moment, self.projection], layout=wrapped),
            widgets.HBox([self.colour, self.k, self.search, save], layout=wrapped),
            self.status,
            self.legend,
            self._grid,
            widgets.HBox([beside, self.near], layout={**wrapped, "align_items": "flex-start"}),
            self.table,
        ]

    def refresh(self, panels_too: bool = False) -> None:
        """Show the source as it is now; with other panels if their number or instances changed."""
        with self.quietly():
            self._offer()
            if panels_too or len(self.panels) != self.count.value:
                self._make_panels()
        self.select([])
        with self._at_once():
            for panel in self.panels:
                panel.move()
            self.paint()
        self.say(self.source.note)

    def _offer(self) -> None:
        """Bring every list of choices in line with the source, keeping what is chosen where it still exists."""
        source = self.source
        folders = [f for f in sources.found_folders() if f != source.folder]
        self.run.options = [(source.name, str(source.folder)), *[(f.name, str(f)) for f in folders]]
        self.run.value = str(source.folder)
        offer(self.split, [(words, key) for key, words in source.splits.items()])
        last = self.moment.value if self.moment.value in source.moments else source.moments[-1]
        self.moment.options = [(str(m), m) for m in source.moments]
        self.moment.value = last
        self.moment.description = source.moment_name
        self.play.max = len(source.moments) - 1
        self.play.value = source.moments.index(last)
        several = len(source.moments) > 1
        self.play.disabled = self.moment.disabled = not several
        known = {*source.frame(self.split.value), "distribution_mapping", "cluster", "correct"}
        offer(self.colour, [(words, key) for key, words in COLOURS.items() if key in known])
        if self._offered != (source.folder, self.split.value):
            self._offered = source.folder, self.split.value
            self.k.value = len(np.unique(source.labels(self.split.value)["task"]))

    def _make_panels(self) -> None:
        deep = self.source.layers - 1
        first = [round(deep * share) for share in ((2 / 3,), (1 / 3, 1), (0, 1 / 2, 1), (0, 1 / 3, 2 / 3, 1))[
            self.count.value - 1]]  # fmt: skip
        while len(self.all_panels) < self.count.value:
            self.all_panels.append(Panel(self, first[len(self.all_panels)]))
        self.panels = self.all_panels[: self.count.value]
        for panel in self.panels:
            panel.fill()
            panel.draw()

    def send(self) -> None:
        """Send what the plots are to show, or leave it for when the browser has drawn what it was sent before."""
        with self._lock:
            if self._held:
                return
            if [id(p) for p in self.panels] != self._arranged:
                for panel in self.panels:
                    panel.insert()
                self._arrange()
                self._expect(500)  # the browser makes the plots
            pending = [panel for panel in self.panels if panel.wanted["new"]]
            if not pending:
                return
            now = time.monotonic()
            if now < self._busy_until:
                timer = threading.Timer(self._busy_until - now + 0.01, self.send)
                timer.daemon = True
                timer.start()
                return
            moved = [panel.send() for panel in pending]
            self._expect(TRANSITION + 80 if any(moved) else 60)

    def _expect(self, pause: int) -> None:
        """Send nothing until the browser has had this many milliseconds, and said so."""
        self._busy_until = time.monotonic() + PATIENCE
        self._pacer.plots = len(self.panels)
        self._pacer.pause = pause
        self._pacer.sent += 1

    @contextlib.contextmanager
    def _at_once(self):
        """Everything that changes meanwhile is sent together."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self.send()

    def _drawn(self, change) -> None:
        if change["new"] == self._pacer.sent:
            self._busy_until = 0.0
            self.send()

    # What follows from a change.

    @contextlib.contextmanager
    def quietly(self):
        """Controls that change meanwhile do nothing by themselves."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def safely(self, action: Callable) -> None:
        """Do what a control asks for; what goes wrong is said in the widget."""
        if self._quiet:
            return
        try:
            action()
        except (store.ArtefactError, ValueError) as error:
            self.say(str(error), wrong=True)

    def say(self, text: str, wrong: bool = False) -> None:
        """A line above the plots; empty to take it away."""
        self.status.value = box(text, wrong) if text else ""

    def _change_run(self) -> None:
        try:
            self.source = sources.open_folder(Path(self.run.value))
        except store.ArtefactError:
            with self.quietly():
                self.run.value = str(self.source.folder)
            raise
        with self.quietly():
            for panel in self.all_panels:
                panel.other, panel.run.value = None, SAME
        self.refresh(panels_too=True)

    def _reload(self) -> None:
        self.source = sources.open_folder(self.source.folder)
        self.refresh(panels_too=True)

    def _change_split(self) -> None:
        self.refresh(panels_too=True)

    def move(self, panels: list[Panel]) -> None:
        """Put the points of these plots where they are at the plots' moments."""
        with self._at_once():
            for panel in panels:
                panel.move()
            if self.colour.value in MOMENTARY:
                self.paint()

    def moved(self, panel: Panel) -> None:
        """Bring in line what is shown beside a plot whose points were moved."""
        if panel is self.panels[0]:
            self._show_scores()
            self._show_neighbours()
        self._cluster_later()

    def paint(self) -> None:
        """Colour every plot by what is chosen."""
        codes, names = self._codes()
        colours = palette(len(names))
        with self._at_once():
            for panel, own in zip(self.panels, codes, strict=True):
                if own is not None:
                    panel.paint(own, colours)
        if codes[0] is None:
            return
        counts = np.bincount(codes[0], minlength=len(names))
        items = [[str(n), c, int(k)] for n, c, k in zip(names, colours, counts, strict=True)]
        with self.quietly(), self.legend.hold_sync():
            if [item[:2] for item in items] != [item[:2] for item in self.legend.items]:
                self.legend.chosen = []
            self.legend.items = items

    def _codes(self) -> tuple[list[np.ndarray | None], list]:
        """What each plot's points are coloured by as numbers, None while it is being computed, and their names; a name
        has the same number, and so the same colour, in every plot."""
        by = self.colour.value
        values = [self.values(panel, by) for panel in self.panels]
        found = [None if v is None else pd.factorize(v, use_na_sentinel=False) for v in values]
        own = [np.asarray(pair[1], dtype=object) for pair in found if pair is not None]
        if by == "correct":
            own = [np.array(["right", "wrong"], dtype=object)]  # both, also where one has none
        names = pd.Index(pd.factorize(np.concatenate(own), sort=True, use_na_sentinel=False)[1] if own else [])
        return [None if pair is None else names.get_indexer(pair[1])[pair[0]] for pair in found], list(names)

    def values(self, panel: Panel, by: str) -> np.ndarray | None:
        """What the points of a panel are coloured by, N of them; None while it is being computed.

        Args:
            by: one of COLOURS.
        """
        split, moment, *_ = panel.at
        if by == "cluster":
            return self._clusters.get((panel.source, *panel.at, self.k.value))
        if by == "correct":
            return np.where(panel.source.answers(split, moment)["correct"], "right", "wrong")
        if by == "distribution_mapping":
            return panel.source.labels(split)[by]
        frame = panel.source.frame(split)
        return frame[by].to_numpy() if by in frame else np.zeros(len(frame), dtype=int)

    # Clusters, scores and t-SNE, computed in a thread.

    def _later(self, work: Callable[[], object], then: Callable[[object], None], words: str = "") -> None:
        """Compute in the thread, and show the result if nothing else was asked for meanwhile."""

        def task() -> None:
            try:
                result = work()
                then(result)
                if words:
                    self.say(self.source.note)
            except (store.ArtefactError, ValueError) as error:
                self.say(str(error), wrong=True)

        if words:
            self.say(words)
        self._pool.submit(task)

    def wait(self) -> "Explorer":
        """Return when everything that is being computed is there."""
        self._pool.submit(lambda: None).result()
        return self

    def _cluster_later(self) -> None:
        self._turn += 1
        turn, k = self._turn, self.k.value
        places = [(panel, panel.source, panel.at) for panel in self.panels]

        def work() -> dict | None:
            if turn != self._turn:
                return None  # the slider has gone on
            found = {}
            for _, source, (split, moment, layer, space) in places:
                found[source, split, moment, layer, space, k] = source.numbered(split, moment, layer, space, k)
            return found

        def show(found: dict | None) -> None:
            if found is None or turn != self._turn:
                return
            self._clusters = found
            for panel, source, (split, moment, *rest) in places:
                frame = source.frame(split).assign(cluster=found[source, split, moment, *rest, k], answer="")
                answers = source.answers(split, moment)
                mark = np.where(answers["correct"], "right", "wrong")
                said = answers["answer"] + " (" + mark + ")" if "answer" in answers else pd.Series(mark)
                panel.scatter.data = frame.assign(answer=said.to_numpy())
            if self.colour.value == "cluster":
                self.paint()
            self._show_selection()

        self._later(work, show)

    def compute_projection(self, panel: Panel, split: str, layer: int, space: str, method: str) -> None:
        """Compute a projection for a plot, in the thread, and show it there."""
        source, total = panel.source, len(panel.source.moments)
        words = f"{projections.METHODS[method]} of layer {layer}: "

        def progress(done: int) -> None:
            self.say(f"{words}{done} of {total}; PCA is shown meanwhile")

        def show(_points) -> None:
            if self.projection.value == method:
                panel.move()

        self._later(lambda: source.coordinates(split, layer, space, method, progress), show, f"{words}computing")

    def _show_scores(self) -> None:
        panel = self.panels[0]
        source, (split, moment, layer, space) = panel.source, panel.at
        label, score, name = self.label.value, self.score.value, panel.source.moment_name

        def work() -> tuple[pd.DataFrame, pd.Series]:
            table = pd.DataFrame({n: source.scores(split, moment, layer, space, n) for n in LABELS}).T[list(SCORES)]
            return table, source.curve(split, layer, space, label, score)

        def show(found: tuple[pd.DataFrame, pd.Series]) -> None:
            if panel.source is not source or panel.at != (split, moment, layer, space):
                return
            if (self.label.value, self.score.value) != (label, score):
                return
            table, curve = found
            self.scores.value = f"KMeans at layer {layer}, {name} {moment}, {SPACES[space]}" + table_html(
                table.rename(index=COLOURS, columns=str.upper).round(3)
            )
            over, at = (name, moment) if len(source.moments) > 1 else ("layer", layer)
            self.curve.value = curve_svg(curve, at, f"{score.upper()} by {COLOURS[label]}, over {over}s")

        if all(source.knows_scores(split, layer, space, n) for n in LABELS):
            show(work())
        else:
            self._later(work, show)

    # Selecting.

    @property
    def selection(self) -> pd.DataFrame:
        """The selected instances, with answer, cluster and place in the first plot."""
        return self._instances().iloc[self.rows]

    def _instances(self) -> pd.DataFrame:
        panel = self.panels[0]
        return panel.source.columns(*panel.at, self.k.value).assign(x=panel.points[:, 0], y=panel.points[:, 1])

    def select(self, rows) -> None:
        """Select instances by their row numbers, in every linked plot."""
        self.rows = np.unique(np.asarray(rows, dtype=int))
        with self.quietly():
            for panel in self.panels:
                if panel.linked and panel.scatter is not None:
                    panel.scatter.selection = self.rows.astype(np.uint32)
        self._show_selection()
        self._show_neighbours()

    def selected_in(self, panel: Panel, rows) -> None:
        """Take over the rows selected in one plot, None for no row."""
        if self._quiet or not panel.linked:
            return
        found = np.unique(np.asarray([] if rows is None else rows, dtype=int))
        if not np.array_equal(found, self.rows):
            self.safely(lambda: self.select(found))

    def hovered_in(self, panel: Panel, row) -> None:
        """Mark in the other plots the row hovered over in one, None for no row."""
        if self._quiet or not panel.linked:
            return
        with self.quietly():
            for other in self.panels:
                if other is not panel and other.linked:
                    other.scatter.hovering = -1 if row is None else row

    def _from_legend(self) -> None:
        codes = self._codes()[0][0]
        if codes is not None:
            self.select(np.flatnonzero(np.isin(codes, self.legend.chosen)))

    def _find(self) -> None:
        rows = sources.matching(self.source.frame(self.split.value), self.search.value)
        self.select(rows)
        if self.search.value:
            self.say(f"{len(rows)} instances have {self.search.value!r} in their instruction")

    def _show_selection(self) -> None:
        if not len(self.rows):
            self.table.value = (
                "Nothing selected: click a point, draw around some with the lasso beside the plot, or click the legend."
            )
            return
        panel = self.panels[0]
        clusters = self._clusters.get((panel.source, *panel.at, self.k.value))
        table = panel.source.frame(panel.split).assign(**panel.source.answers(panel.split, panel.at[1]))
        scores = ""
        if clusters is not None:
            table = table.assign(cluster=clusters)
            found = sources.selection_scores(panel.source.labels(panel.split), clusters, self.rows)
            if len(found):
                scores = f"Its labels against {self.k.value} clusters:" + table_html(
                    found.rename(index=COLOURS, columns=str.upper).round(3)
                )
        more = f", the first {SHOWN_ROWS} shown" if len(self.rows) > SHOWN_ROWS else ""
        self.table.value = (
            f"<b>{len(self.rows)} selected</b>{more} (<code>explorer.selection</code>) {scores}"
            + table_html(table.iloc[self.rows[:SHOWN_ROWS]], tall=True)
        )  # fmt: skip

    def _show_neighbours(self) -> None:
        if len(self.rows) != 1:
            self.near.value = ""
            return
        panel, row = self.panels[0], int(self.rows[0])
        source, (split, moment, layer, _) = panel.source, panel.at
        one = source.frame(split).iloc[row]
        near = source.neighbours(split, moment, layer, row)
        near = near.assign(same_task=np.where(near["task"] == one["task"], "✓", ""), distance=near["distance"].round(2))
        text = (
            f"<b>Nearest to {html.escape(one['instruction'])} + {html.escape(str(one['input']))}</b> (task "
            f"{html.escape(str(one['task']))}, output {html.escape(str(one['output']))}), layer {layer}, full space"
        )
        if len(source.moments) > 1:
            history = source.neighbour_history(split, layer, row).set_index("moment")
            text += curve_svg(history["same_task"], moment, f"share of them with its task, over {source.moment_name}s")
            text += curve_svg(history["stay"], moment, "share of those of the end that are near already")
        self.near.value = text + table_html(near)

    # Keeping.

    def figure(self):
        """The plots as they are, as a matplotlib Figure: what the executed notebook and the report show."""
        if self.colour.value == "cluster":
            self.wait()
        codes, names = self._codes()
        names = [str(name) for name in names] or ["not known"]
        shown = [
            {"title": plain(panel.title.value), "points": panel.points, "names": names,
             "codes": np.zeros(len(panel.points), dtype=int) if own is None else own,
             "colours": palette(len(names)), "selected": self.rows if panel.linked else self.rows[:0]}
            for panel, own in zip(self.panels, codes, strict=True)
        ]  # fmt: skip
        return figures.explorer(shown, f"coloured by {COLOURS[self.colour.value]}")

    def save(self, path: str | Path | None = None, suffix: str = "svg") -> Path:
        """Save the plots (svg, png) or the selection, or all instances if there is none (csv); says where.

        Args:
            path: figures/explorer/<run>-<set>-<moment>.<suffix> if None.
        """
        split, moment, layer, space = self.panels[0].at
        name = f"{self.source.folder.name}-{split}-{self.source.moment_name}{moment}-layer{layer}-{space}.{suffix}"
        path = Path(path) if path else store.FIGURES / "explorer" / name.replace("/", "_")
        if path.suffix == ".csv":
            whole = self._instances()
            store.write_csv(path, whole.iloc[self.rows] if len(self.rows) else whole, digits=17)
        else:
            store.write_figure(path, self.figure(), dpi=150)
        self.say(f"saved {path}")
        return path

    def show(self, **choices) -> "Explorer":
        """Set several controls at once and return the explorer when all is computed.

        Args:
            choices: count, split, projection, moment, colour and k, as the controls have them; layers, spaces and
                moments, one value a plot (moments not named follow the slider).

        Raises:
            ValueError: a control that does not exist, or a value that it does not offer.
        """
        plain, each = ("count", "split", "projection", "moment", "colour", "k"), ("layer", "space", "moment")
        if unknown := set(choices) - {*plain, *(f"{name}s" for name in each)}:
            raise ValueError(f"no control {', '.join(sorted(unknown))}: there are {', '.join(plain)}, layers, ...")
        with self._at_once():
            for name in plain:
                if choices.get(name) is not None:
                    choose(getattr(self, name), name, choices[name])
            for name in each:
                given = choices.get(f"{name}s", [FOLLOW] * len(self.panels) if name == "moment" else ())
                for panel, value in zip(self.panels, given, strict=False):
                    choose(getattr(panel, name), name, value)
        return self.wait()

    def _repr_mimebundle_(self, **options):
        if os.environ.get(HEADLESS):
            words = "An explorer stands here when the notebook runs in JupyterLab; a picture of it stands below."
            return {"text/plain": words, "text/html": f"<em>{words}</em>"}
        self._expect(700)
        self._busy_until += 2 * PATIENCE  # JupyterLab has to load the plots' code first
        return super()._repr_mimebundle_(**options)
