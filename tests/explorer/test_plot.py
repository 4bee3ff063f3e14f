import numpy as np
import pandas as pd
import pytest

from helpers.explorer.callback_lock import Events
from helpers.explorer.palette import rgba
from helpers.explorer.plot import FOLLOW, SAME, Plot

FRAME = pd.DataFrame({"instruction": list("abcd"), "input": "x", "task": [0, 0, 1, 1]})
POINTS = np.array([[0, 0], [0.5, 0], [0, 0.5], [1, 1]], dtype=np.float32)
RIGHT = np.array([True, False, True, True])


@pytest.fixture
def calls():
    return []


@pytest.fixture
def plot(calls):
    made = Plot(
        Events(pytest.fail), True,
        changed=lambda plot: calls.append(("changed", plot.layer.value)),
        run_changed=lambda plot, before: calls.append(("run", before, plot.run.value)),
        selected=lambda plot, rows: calls.append(("selected", rows.tolist())),
        hovered=lambda plot, row: calls.append(("hovered", row)),
    )  # fmt: skip
    with made._events.suppressed():
        made.offer(3, "epoch", [0, 5], {"other": "/other"})
        made.take(FRAME, np.array([0, 0, 1, 1]))
    return made


def test_it_says_what_the_user_does_and_not_what_it_is_told(plot, calls):
    plot.layer.value = 2
    plot.run.value = "/other"
    plot.scatter.selection = np.array([3, 1], dtype=np.uint32)
    plot.scatter.selection = None
    plot.scatter.hovering = 2
    plot.scatter.hovering = None
    done = [("changed", 2), ("run", SAME, "/other"), ("selected", [1, 3]), ("selected", [])]
    assert calls == [*done, ("hovered", 2), ("hovered", None)]
    plot.select(np.array([0, 2]))
    plot.hover(1)
    plot.hover(None)
    assert plot.scatter.selection.tolist() == [0, 2]
    assert len(calls) == 6


def test_what_is_chosen_stays_where_it_still_exists(plot, calls):
    plot.layer.value, plot.moment.value = 2, 5
    with plot._events.suppressed():
        plot.offer(4, "epoch", [0, 5, 9], {})
        assert (plot.layer.value, plot.moment.value, plot.run.value) == (2, 5, SAME)
        plot.offer(2, "revision", ["main"], {})
    assert (plot.layer.value, plot.moment.value, plot.moment.description) == (1, FOLLOW, "revision")


def test_points_and_colours_are_sent_together_and_points_only_when_they_change(plot):
    plot.place(POINTS, RIGHT, "<b>layer 2</b>")
    plot.paint(np.array([0, 0, 1, 1]), ["#ff0000", "#0000ff"])
    assert plot.pending
    assert plot.send() > 350  # the points move
    assert not plot.pending
    np.testing.assert_array_equal(plot.scatter.points[:, :2], POINTS)
    assert colours(plot) == ["#ff0000", "#ff0000", "#0000ff", "#0000ff"]
    sent = plot.scatter.points
    plot.paint(np.array([1, 1, 0, 0]), ["#ff0000", "#0000ff"])
    plot.place(POINTS, RIGHT, "<b>layer 2</b>")
    assert plot.send() < 350
    assert plot.scatter.points is sent
    assert colours(plot) == ["#0000ff", "#0000ff", "#ff0000", "#ff0000"]


def test_other_instances_may_be_fewer_and_none_of_them_is_selected(plot):
    plot.place(POINTS, RIGHT, "")
    plot.insert()
    plot.select(np.array([3]))
    plot.take(FRAME.iloc[:1], np.array([0]))
    assert plot.scatter.selection.tolist() == []
    plot.place(np.zeros((1, 2), dtype=np.float32), RIGHT[:1], "")
    plot.send()
    assert plot.scatter.points.tolist() == [[0, 0, 1, 0]]  # also where it lies at zero, as before anything was sent


def colours(plot) -> list[str]:
    palette = {tuple(rgba(c)): c for c in ("#ff0000", "#0000ff")}
    return [palette[tuple(plot.scatter.color[int(entry)])] for entry in plot.scatter.points[:, 2]]
