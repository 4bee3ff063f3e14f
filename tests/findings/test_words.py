import pandas as pd
import pytest

from helpers.findings import words


@pytest.mark.parametrize(("items", "text"), [("a", "a"), ("ab", "a and b"), ("abc", "a, b and c")])
def test_lists_read_as_in_a_sentence(items, text):
    assert words.listed(items) == text


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (0.1, 0.9, "rises from 0.10 to 0.90"),
        (0.9, 0.1, "falls from 0.90 to 0.10"),
        (0.501, 0.502, "stays at 0.50"),
    ],
)
def test_a_change_is_said_as_far_as_its_digits_show_it(before, after, text):
    assert words.changes(before, after) == text


TABLE = pd.DataFrame(
    [
        {"width": 32, "seed": 0, "epoch": 0, "label": "task", "f1": 0.2},
        {"width": 32, "seed": 1, "epoch": 0, "label": "task", "f1": 0.4},
        {"width": 32, "seed": 0, "epoch": 5, "label": "task", "f1": 0.6},
        {"width": 32, "seed": 1, "epoch": 5, "label": "task", "f1": 1.0},
        {"width": 768, "seed": 0, "epoch": 5, "label": "task", "f1": 0.1},
    ]
)


def test_seeds_are_averaged_where_everything_else_is_equal():
    mean = words.mean_over_seeds(TABLE, 32)
    assert mean["f1"].round(6).tolist() == [0.3, 0.8]
    assert mean["epoch"].tolist() == [0, 5]
    assert words.at_end(mean)["f1"].tolist() == [0.8]
    assert words.highest(mean, "f1")["epoch"] == 5


def test_tables_are_markdown():
    assert words.table(("a", "b"), [(1, "x"), (2, "y")]) == "| a | b |\n| --- | --- |\n| 1 | x |\n| 2 | y |"


def test_seeds_are_named_where_there_are_several():
    assert words.widths(TABLE) == [32, 768]
    assert words.width_title(TABLE, 32) == "Width 32 (means of 2 seeds)"
    assert words.width_title(TABLE, 768) == "Width 768"
