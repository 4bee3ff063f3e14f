import numpy as np
import pytest

from helpers.explorer.palette import UNKNOWN, Palette, groups_of
from helpers.figures.style import palette


@pytest.mark.parametrize("count", [1, 2, 8, 9, 20, 21, 160])
def test_colours_are_as_many_as_asked_and_differ(count):
    assert len(set(palette(count))) == count


def test_groups_keep_what_their_labels_tell_and_stay_few():
    rng = np.random.default_rng(0)
    few, names, many = rng.integers(0, 5, 900), rng.choice(["a", "b"], 900), np.arange(900)
    found = groups_of([few, many, names])
    assert len(np.unique(found)) == 10 == found.max() + 1
    assert len(np.unique(groups_of([np.array(["a", "b", None, "a", None], dtype=object)]))) == 3
    for label in (few, names):
        assert all(len(np.unique(label[found == group])) == 1 for group in range(10))


RED, BLUE = ["#ff0000", "#0000ff"], ["#0000ff", "#ff0000", "#00ff00"]


def seen(palette: Palette) -> list[str]:
    return [palette.colours[entry] for entry in palette.entries]


def test_colours_by_labels_and_answers_leave_the_entries_of_points_as_they_are():
    """The example in the docstring."""
    made = Palette(groups_of([np.array(["A", "A", "A", "B"]), np.array(["x", "x", "y", "x"])]))
    assert seen(made) == [UNKNOWN] * 4
    made.follow([False, True, True, False])
    entries = made.entries.tolist()
    assert entries == [0, 1, 3, 4]
    for codes in ([0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 1, 0]):  # by task, input and answer
        made.paint(np.array(codes), RED)
        assert seen(made) == [RED[code] for code in codes]
        assert made.entries.tolist() == entries


def test_colours_that_cut_through_groups_have_entries_of_their_own():
    made = Palette(np.array([0, 0, 1]))
    made.paint(np.array([0, 0, 1]), RED)
    before = made.colours
    made.paint(np.array([2, 1, 1]), BLUE)
    assert seen(made) == ["#00ff00", "#ff0000", "#ff0000"]
    assert made.colours[: len(before)] == before  # points that are still on their way keep their colours
    made.follow([True, True, True])
    assert seen(made) == ["#00ff00", "#ff0000", "#ff0000"]
    own = made.colours[len(before) :]
    made.paint(np.array([1, 1, 0]), RED)
    assert seen(made) == ["#0000ff", "#0000ff", "#ff0000"]
    assert made.colours[len(before) :] == own


def test_an_instance_keeps_its_colour_when_its_answer_changes():
    made = Palette(np.array([0, 0, 1]))
    made.paint(np.array([0, 0, 1]), RED)
    made.follow([True, False, True])
    assert seen(made) == ["#ff0000", "#ff0000", "#0000ff"]
