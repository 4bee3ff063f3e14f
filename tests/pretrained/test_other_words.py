"""Folders of word pairs as others write them: read, or refused with the file and the entry."""

import json

import pandas as pd
import pytest

from helpers.pretrained import natural


def write(folder, pairs, instructions="Do it.\nDo that.", name="t.json", category="c"):
    (folder / category).mkdir(parents=True, exist_ok=True)
    content = pairs if isinstance(pairs, (str, bytes)) else json.dumps(pairs)
    (folder / category / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    if instructions is not None:
        text = instructions if isinstance(instructions, bytes) else instructions.encode()
        (folder / category / f"{name.partition('.')[0]}.instructions.txt").write_bytes(text)
    return folder


def refused(folder, **options) -> str:
    with pytest.raises(natural.NaturalDataError) as error:
        natural.load(folder, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_list_of_inputs_and_outputs(tmp_path):
    """As in the function-vectors repository of Todd et al. (2023), where some entries name the output first."""
    (task,) = natural.load(write(tmp_path, [{"input": "a", "output": "b"}, {"output": "5", "input": "along"}]))
    assert task.pairs == {"a": "b", "along": "5"}


def test_an_object_in_category_folders(tmp_path):
    """As in the task-vectors repository of Hendel et al. (2023): names of several words, and no instructions."""
    theirs = write(
        tmp_path / "data", {"Emilio Lussu": "Italian", "Chrisye": "Indonesian"}, None, "person_language.json"
    )
    assert "person_language.instructions.txt is missing" in refused(theirs, drop_multiword=True)
    ours = write(tmp_path / "ours", {"x": "y"}, name="person_language.json")
    assert "'Emilio Lussu' -> 'Italian' is not one word" in refused(theirs, instructions=ours)
    (task,) = natural.load(theirs, instructions=ours, drop_multiword=True)
    assert task.pairs == {"Chrisye": "Indonesian"}


@pytest.mark.parametrize(("pairs", "words"), [
    ([{"input": "a"}], "its entry 1 is neither"),
    ([{"input": "a", "output": "b"}, ["c", "d"]], "its entry 2 is neither"),
    ([{"input": "a", "output": 3}], "the output of 'a' is 3, not a string"),
    ([{"input": 3, "output": "a"}], "the input is 3, not a string"),
    ([{"input": "a", "output": "b"}, {"input": "a", "output": "c"}], "has the input 'a' twice"),
    ([], "must be one JSON object"),
    ("3", "must be one JSON object"),
    ("[" * 100_000, "nested too deeply"),
    ('{"a": {"b": "c"}}', "the output of 'a' is"),
    ('{"\\ud800": "b"}', "the input holds half a character ('\\ud800')"),
    ('{"a": "x\\udc00"}', "the output of 'a' holds half a character"),
    ('{"a": "\\u200b"}', "is not one word to one word"),
    (json.dumps({"a": "b"}).encode("utf-16"), "is not UTF-8 text"),
    (json.dumps({"a": "b"}).encode("utf-16-le"), "UTF-16"),
])  # fmt: skip
def test_pairs_that_cannot_be(tmp_path, pairs, words):
    found = refused(write(tmp_path, pairs))
    assert words in found
    assert "t.json" in found


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le"])
def test_instructions_in_another_encoding(tmp_path, encoding):
    found = refused(write(tmp_path, {"a": "b"}, "Répétez.".encode(encoding)))
    assert "t.instructions.txt" in found
    assert "save it as UTF-8" in found


def test_a_byte_order_mark_is_no_part_of_the_words(tmp_path):
    mark = "\ufeff".encode()
    (task,) = natural.load(write(tmp_path, mark + b'{"a": "b"}', mark + b"Do it.\r\nDo that.\r\n"))
    assert task.pairs == {"a": "b"}
    assert task.instructions == ("Do it.", "Do that.")


def test_lines_end_where_editors_end_them(tmp_path):
    (task,) = natural.load(write(tmp_path, {"a": "b"}, "One\u2028still one\x0cand on.\rTwo."))
    assert task.instructions == ("One\u2028still one\x0cand on.", "Two.")


def test_files_in_capitals_are_read_and_files_elsewhere_are_named(tmp_path):
    (task,) = natural.load(write(tmp_path / "a", {"a": "b"}, name="t.JSON"))
    assert task.name == "t"
    assert "t.JSON is there twice" in refused(write(tmp_path / "a", {"a": "b"}))
    deeper = write(write(tmp_path / "b", {"a": "b"}), {"a": "b"}, category="c/d")
    assert "c/d/t.json does not lie in a category's folder" in refused(deeper)
    (tmp_path / "a" / "c" / "t.JSON").unlink()
    (tmp_path / "a" / "t.json").write_text("{}")
    assert "a/t.json does not lie in a category's folder" in refused(tmp_path / "a")


def test_what_editors_and_systems_leave_is_no_task(tmp_path):
    write(tmp_path, {"a": "b"})
    write(tmp_path, {"a": "c"}, name="t-checkpoint.json", category=".ipynb_checkpoints")
    write(tmp_path, {"a": "c"}, name="t-checkpoint.json", category="c/.ipynb_checkpoints")
    (tmp_path / "c" / "._t.json").write_bytes(b"\x00\x05\x16\x07")
    assert [(task.category, task.name) for task in natural.load(tmp_path)] == [("c", "t")]


# Words that readers turn into nothing, composed and other scripts, joiners and marks of direction inside.
ODD = ["NA", "null", "None", "e\u0301t\u00e9", "\u05e9\u05dc\u05d5\u05dd", "猫", "\U0001f469\u200d\U0001f680"]
ODD += ["\u0645\u06cc\u200c\u0631\u0648\u0645"]


@pytest.mark.parametrize("words", ODD)
def test_words_that_must_stay_what_they_are(tmp_path, words):
    (task,) = natural.load(write(tmp_path, {words: words}))
    drawn = natural.draw([task], pairs=1, instructions=1)
    assert drawn[["input", "output"]].to_numpy().tolist() == [[words, words]]


@pytest.mark.parametrize("counts", [{"pairs": 0}, {"pairs": -1}, {"instructions": 0}])
def test_counts_below_one_are_refused(tmp_path, counts):
    tasks = natural.load(write(tmp_path, {"a": "b", "c": "d"}))
    with pytest.raises(natural.NaturalDataError, match="at least one"):
        natural.draw(tasks, **{"pairs": 1, "instructions": 1, **counts})


def test_mapping_labels_are_one_tasks_alone():
    drawn = natural.draw(natural.load(), pairs=2, instructions=2)
    assert drawn.groupby("mapping")["task"].nunique().eq(1).all()


def test_twins_are_counted_by_task():
    drawn = pd.DataFrame(
        [("c", "one", "a", "x"), ("c", "one", "b", "x"), ("c", "two", "a", "x"), ("d", "three", "a", "y")],
        columns=["category", "task", "input", "output"],
    )
    found = natural.twins_by_task(drawn).set_index("task")
    assert found["twins"].to_dict() == {"one": 0.5, "two": 1, "three": 1}
    assert found["other_answer"].to_dict() == {"one": 0.5, "two": 1, "three": 1}
    same = natural.twins_by_task(drawn[:3]).set_index("task")
    assert same["twins"].to_dict() == {"one": 0.5, "two": 1}
    assert same["other_answer"].to_dict() == {"one": 0, "two": 0}
    ours = natural.draw(natural.load(), pairs=5, instructions=2)
    assert (natural.twins_by_task(ours)["twins"].mean()) == pytest.approx(natural.twin_share(ours))
