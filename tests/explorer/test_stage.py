"""The explorer without a browser: what its plots show, and what they are sent."""

import base64
import io
import shutil
import threading

import numpy as np
import pytest
from PIL import Image

from helpers.explorer import app
from helpers.explorer.palette import UNKNOWN, rgba
from helpers.explorer.plot import SAME
from helpers.explorer.source import COLOURS
from helpers.timing import HEADLESS


def drawn(shown, number: int = 0) -> np.ndarray:
    """The colours of a plot's points as the browser has them, once it says that it has drawn what it was sent."""
    pacer = shown.stage.sender.pacer
    while any(plot.pending for plot in shown.plots):
        pacer.drawn = pacer.sent
    scatter = shown.plots[number].scatter
    return np.array(scatter.color)[scatter.points[:, 2].astype(int)]


def test_every_point_has_the_colour_of_the_legend_however_it_is_sent(run):
    shown = app.explore(run).wait()
    for moment in (shown.source.moments[0], shown.source.moments[-1]):
        shown.show(moment=moment).wait()
        for by in (*COLOURS, *COLOURS):
            shown.show(colour=by).wait()
            colours = {name: rgba(colour) for name, colour, _ in shown.legend.items}
            for number, plot in enumerate(shown.plots):
                wanted = [colours[str(value)] for value in shown.stage.colouring.values(plot, by)]
                np.testing.assert_array_equal(drawn(shown, number), wanted, err_msg=f"{by} at {moment}, plot {number}")


def test_a_plot_with_its_own_epoch_is_painted_anew_where_the_colour_depends_on_it(run):
    shown = app.explore(run).wait()
    first, last = shown.source.moments[0], shown.source.moments[-1]
    shown.show(moment=first, colour="correct")
    drawn(shown)
    shown.plots[1].moment.value = last
    colours = {name: rgba(colour) for name, colour, _ in shown.legend.items}
    assert list(colours) == ["right", "wrong"]
    for number, moment in enumerate((first, last)):
        correct = shown.source.answers("validation", moment)["correct"]
        wanted = [colours["right" if c else "wrong"] for c in correct]
        np.testing.assert_array_equal(drawn(shown, number), wanted)


def test_points_have_no_wrong_colour_while_their_clusters_are_computed(run):
    shown = app.explore(run).wait().show(colour="cluster")
    drawn(shown)
    holding = threading.Event()
    shown.background.run("held", holding.wait, lambda _: None)
    shown.controls.split.value = "subset"
    assert {tuple(colour) for colour in drawn(shown)} == {tuple(rgba(UNKNOWN))}
    holding.set()
    shown.wait()
    colours = {name: rgba(colour) for name, colour, _ in shown.legend.items}
    wanted = [colours[str(c)] for c in shown.stage.colouring.values(shown.plots[0], "cluster")]
    np.testing.assert_array_equal(drawn(shown), wanted)


def test_a_selection_has_the_clusters_that_the_plot_shows(run):
    shown = app.explore(run).wait()
    for moment in shown.source.moments:
        shown.show(moment=moment)
        shown.select(range(40))
        assert (
            shown.selection["cluster"].tolist() == shown.stage.colouring.values(shown.plots[0], "cluster")[:40].tolist()
        )


def test_what_is_chosen_stays_and_a_run_that_cannot_be_opened_is_not_chosen(run):
    shown = app.explore(run).wait().show(k=4, count=1, colour="task")
    assert shown.controls.k.value == 4
    broken = run.folder.with_name("w16-s0-broken")
    shutil.copytree(run.folder, broken, ignore=shutil.ignore_patterns("manifest.json"))
    try:
        shown.show(count=2)
        assert shown.controls.k.value == 4
        shown._reload()
        for control in (shown.controls.run, shown.plots[1].run):
            before = control.value
            control.value = str(broken)
            assert "no manifest.json" in shown.status.value
            assert control.value == before
    finally:
        shutil.rmtree(broken)


def test_points_are_not_sent_again_for_a_colour_that_their_groups_share(run):
    shown = app.explore(run).wait()
    for moment in (shown.source.moments[-1], shown.source.moments[0]):
        shown.show(moment=moment, colour="task").wait()
        drawn(shown)
        sent = [plot.scatter.points for plot in shown.plots]
        for by in ("correct", "distribution", "output", "task"):
            shown.show(colour=by).wait()
            drawn(shown)
            assert all(plot.scatter.points is points for plot, points in zip(shown.plots, sent, strict=True))


def test_pictures_and_tables_are_saved_and_wrong_choices_refused(run, tmp_path):
    shown = app.explore(run).wait()
    shown.select([1, 2])
    for suffix in ("svg", "png", "csv"):
        assert shown.save(tmp_path / f"picture.{suffix}").stat().st_size > 100
    lines = (tmp_path / "picture.csv").read_text().splitlines()
    assert len(lines) == 3
    assert "cluster" in lines[0]
    with pytest.raises(ValueError, match="moment=99 is not offered"):
        shown.show(moment=99)
    with pytest.raises(ValueError, match="no control epoch"):
        shown.show(epoch=1)


def test_a_plot_can_show_another_run_linked_where_instances_are_the_same(run):
    copy = shutil.copytree(run.folder, run.folder.with_name("w16-s0-copy"))
    try:
        shown = app.explore(run).wait()
        plot = shown.plots[1]
        plot.run.value = str(copy)
        assert shown.stage.source_of(plot) is not shown.source
        assert shown.stage.linked(plot)
        assert shown.plots[0].run not in shown.plots[0].children[0].children  # its run is the explorer's
        shown.select([3])
        assert plot.scatter.selection.tolist() == [3]
        shown.controls.run.value = str(copy)
        assert plot.run.value == SAME
        assert shown.stage.source_of(plot) is shown.source
    finally:
        shutil.rmtree(copy)


def test_where_no_browser_draws_a_picture_stands_in_the_explorers_place(run, monkeypatch):
    monkeypatch.delenv(HEADLESS, raising=False)
    shown = app.explore(run).wait()
    assert "application/vnd.jupyter.widget-view+json" in shown._repr_mimebundle_()
    monkeypatch.setenv(HEADLESS, "1")
    data, looks = shown._repr_mimebundle_()
    assert set(data) == {"image/png", "text/plain"}
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert picture.width > looks["image/png"]["width"] / 2
    assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 20, "points are drawn in colours"
