"""A user's click while results of the background are being shown."""

import threading

from helpers.explorer import app

MAIN = threading.get_ident()


def title(shown) -> str:
    return shown.plots[0].title.value


def test_a_click_while_clusters_are_shown_is_not_lost(run):
    shown = app.explore(run).wait().show(moment=4, colour="cluster")
    painting, clicked = threading.Event(), threading.Event()

    def pause(_) -> None:
        painting.set()
        if threading.get_ident() != MAIN:
            clicked.wait(10)

    shown.legend.observe(pause, "items")
    shown.controls.k.value = 3  # clusters are computed; then the legend changes
    painting.wait(2)
    shown.controls.moment.value = 0
    clicked.set()
    shown.wait()
    assert "epoch 0" in title(shown)


def test_controls_are_alive_after_two_threads_changed_some(run):
    shown = app.explore(run).wait().show(moment=4, colour="cluster")
    painting, selected = threading.Event(), threading.Event()

    def in_pool(_) -> None:
        if threading.get_ident() != MAIN:
            painting.set()
            selected.wait(10)

    def in_main(_) -> None:
        painting.wait(2)

    shown.legend.observe(in_pool, "items")
    shown.plots[0].scatter.observe(in_main, "selection")
    hold = threading.Event()
    shown.background.run("held", hold.wait, lambda _: None)
    shown.controls.k.value = 3
    threading.Timer(0.2, hold.set).start()
    shown.select([1])  # the main thread is first to change controls, and first to have done so
    selected.set()
    shown.wait()
    shown.controls.moment.value = 0
    shown.wait()
    assert "epoch 0" in title(shown)
