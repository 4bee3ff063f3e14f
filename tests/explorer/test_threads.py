"""What a user does while something is computed, or while results are being shown, counts."""

import shutil
import threading

import numpy as np
import pytest
from made_up import MadeUp

from helpers.explorer import app
from helpers.explorer.plot import SAME

MAIN = threading.get_ident()


def hold(shown) -> threading.Event:
    """Keep the background busy until the event is set."""
    holding = threading.Event()
    shown.background.run("held", holding.wait, lambda _: None)
    return holding


def test_a_click_while_clusters_are_shown_is_not_lost(run):
    shown = app.explore(run).wait().show(moment=4, colour="cluster")
    painting, clicked = threading.Event(), threading.Event()

    def pause(_) -> None:
        painting.set()
        if threading.get_ident() != MAIN:
            clicked.wait(10)

    shown.legend.observe(pause, "items")
    shown.controls.k.value = 3  # clusters are computed; then the legend changes
    painting.wait(1)
    shown.controls.moment.value = 0
    clicked.set()
    shown.wait()
    assert "epoch 0" in shown.plots[0].title.value


def test_controls_are_alive_after_two_threads_changed_some(run):
    shown = app.explore(run).wait().show(moment=4, colour="cluster")
    painting, selected = threading.Event(), threading.Event()

    def in_another_thread(_) -> None:
        if threading.get_ident() != MAIN:
            painting.set()
            selected.wait(10)

    shown.legend.observe(in_another_thread, "items")
    shown.plots[0].scatter.observe(lambda _: painting.wait(1), "selection")
    holding = hold(shown)
    shown.controls.k.value = 3
    threading.Timer(0.2, holding.set).start()
    shown.select([1])  # this thread is the first to suppress callbacks, and the first to be done
    selected.set()
    shown.wait()
    shown.controls.moment.value = 0
    assert "epoch 0" in shown.plots[0].title.value


def test_a_click_on_the_page_while_a_cell_changes_controls_is_not_lost(run):
    """JupyterLab has what the browser says handled on another thread than cells."""
    shown = app.explore(run).wait().show(moment=4, colour="task")
    click = threading.Thread(target=lambda: setattr(shown.controls.moment, "value", 0))

    def click_now(_) -> None:
        if not click.ident:
            click.start()
            click.join(0.2)  # it waits until this thread has changed what it wants to change

    shown.plots[0].scatter.observe(click_now, "selection")
    shown.select([1])
    click.join(10)
    shown.wait()
    assert "epoch 0" in shown.plots[0].title.value
    assert shown.rows.tolist() == [1]


def test_a_click_while_something_is_computed_is_not_lost(run):
    shown = app.explore(run).wait().show(moment=4, colour="cluster")
    holding = hold(shown)
    shown.controls.k.value = 3
    shown.plots[1].scatter.selection = np.array([5], dtype=np.uint32)
    shown.controls.moment.value = 2
    holding.set()
    shown.wait()
    assert shown.rows.tolist() == [5]
    assert "epoch 2" in shown.plots[0].title.value
    assert len(shown.legend.items) == 3
    assert shown.stage.colouring.values(shown.plots[0], "cluster") is not None


def test_plots_may_come_and_go_while_their_clusters_are_computed(run):
    shown = app.explore(run).wait().show(colour="cluster", count=2)
    for count in (4, 1, 3, 2):
        holding = hold(shown)
        shown.controls.k.value += 1
        shown.controls.count.value = count
        holding.set()
        shown.wait()
        assert len(shown.plots) == count
        assert all(shown.stage.colouring.values(plot, "cluster") is not None for plot in shown.plots)


def test_a_projection_may_come_when_nobody_wants_it_any_more(run):
    for kept in run.folder.glob("explorer/tsne-*"):  # which another test may have left
        kept.unlink()
    shown = app.explore(run).wait().show(count=1, layers=[1])
    holding = hold(shown)
    shown.controls.projection.value = "tsne"
    assert "computing" in shown.status.value
    shown.plots[0].layer.value = 2
    shown.controls.projection.value = "pca"
    holding.set()
    shown.wait()
    assert shown.plots[0].title.value.endswith("PCA")
    assert "computing" not in shown.status.value
    shown.controls.projection.value = "tsne"  # both are there now
    assert shown.plots[0].title.value.endswith("t-SNE")
    shown.show(projection="pca")


@pytest.mark.parametrize("error", [ValueError("no such k"), ZeroDivisionError("not foreseen")])
def test_an_error_in_the_background_is_said_and_leaves_the_controls_alive(run, monkeypatch, error):
    shown = app.explore(run).wait().show(moment=4, colour="task")

    def fail(*_):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(shown.source, "clusters", fail)
        shown.controls.k.value += 1
        shown.wait()
    assert str(error) in shown.status.value
    shown.show(moment=0, colour="cluster")
    assert "epoch 0" in shown.plots[0].title.value
    assert shown.stage.colouring.values(shown.plots[0], "cluster") is not None


def test_a_second_explorer_is_independent_of_the_first(run):
    first = app.explore(run).wait().show(moment=4)
    holding = hold(first)
    second = app.explore(run).wait().show(moment=0, colour="cluster")
    second.select([1])
    assert "epoch 0" in second.plots[0].title.value
    assert "epoch 4" in first.plots[0].title.value
    assert not len(first.rows)
    holding.set()
    first.wait()


@pytest.mark.parametrize(("count", "moments"), [(1, 3), (1, 1), (5, 1), (2, 2)])
def test_a_source_may_be_as_small_as_can_be(tmp_path, count, moments):
    shown = app.explore(MadeUp(count, moments, tmp_path), plots=2).wait()
    shown.show(projection="tsne", colour="cluster", layers=[0, 2])
    shown.select([0])
    assert len(shown.selection) == 1
    assert "Nearest to" in shown.near.value
    assert sum(n for *_, n in shown.legend.items) == count
    for suffix in ("svg", "csv"):
        assert shown.save(tmp_path / f"picture.{suffix}").stat().st_size > 50
    shown.show(colour="task", projection="pca", count=4)
    assert "wrong" not in shown.status.value


def test_a_run_that_is_removed_while_it_is_shown_is_said(run):
    copy = shutil.copytree(run.folder, run.folder.with_name("w16-s0-removed"))
    shown = app.explore(run).wait().show(moment=4)
    shown.plots[1].run.value = str(copy)
    shutil.rmtree(copy)
    shown.controls.moment.value = 1
    assert "w16-s0-removed" in shown.status.value
    shown.plots[1].run.value = SAME
    shown.controls.moment.value = 0
    shown.wait()
    assert all("epoch 0" in plot.title.value for plot in shown.plots)
