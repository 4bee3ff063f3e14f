import numpy as np

from helpers.explorer.colouring import shared_codes


def test_a_value_has_the_same_code_in_every_plot():
    codes, names = shared_codes([np.array(["b", "a", "b"]), None, np.array(["c", "b", "b"])], "input")
    assert names == ["a", "b", "c"]
    assert [None if c is None else c.tolist() for c in codes] == [[1, 0, 1], None, [2, 1, 1]]
    assert shared_codes([None, None], "cluster") == ([None, None], [])


def test_right_and_wrong_have_their_colours_also_where_all_answers_are_right():
    codes, names = shared_codes([np.array(["right", "right"])], "correct")
    assert names == ["right", "wrong"]
    assert codes[0].tolist() == [0, 0]


def test_numbers_are_sorted_as_numbers():
    codes, names = shared_codes([np.array([10, 2, 10])], "task")
    assert names == [2, 10]
    assert codes[0].tolist() == [1, 0, 1]
