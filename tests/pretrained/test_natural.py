import difflib
import itertools
import json

import pytest

from helpers.pretrained import natural

TASKS = natural.load()


def test_the_sixteen_tasks_of_table_7_in_three_categories():
    assert {(t.category, t.name) for t in TASKS} == {
        *(("translation", f"{a}_to_{b}") for a in ("french", "spanish", "italian") for b in ("english",)),
        *(("translation", f"english_to_{b}") for b in ("french", "spanish", "italian")),
        ("linguistic", "antonyms"),
        ("linguistic", "plural_to_singular"),
        ("linguistic", "singular_to_plural"),
        ("linguistic", "present_to_gerund"),
        ("linguistic", "present_to_past_perfect"),
        ("linguistic", "present_to_past_simple"),
        ("knowledge", "country_to_capital"),
        ("knowledge", "location_to_continent"),
        ("knowledge", "religion"),
        ("knowledge", "person_to_language"),
    }


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_pairs(task):
    assert len(task.pairs) >= 30
    for x, y in task.pairs.items():
        assert x.isalpha(), x
        assert y.isalpha(), y
        assert x.casefold() != y.casefold()
        if task.category != "knowledge":
            assert x.islower(), x
            assert y.islower(), y
        else:
            assert x[0].isupper(), x
            assert y[0].isupper(), y
    outputs = list(task.pairs.values())
    most = max(outputs.count(y) for y in outputs) / len(outputs)
    assert most <= (0.4 if task.name in ("religion", "location_to_continent") else 0.25)


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_instructions_are_written_one_by_one(task):
    """Not filled templates: no two lines alike, openings that differ, short and long, many first words."""
    lines = [line.casefold() for line in task.instructions]
    assert len(lines) == 55
    for a, b in itertools.combinations(lines, 2):
        assert difflib.SequenceMatcher(None, a, b).ratio() <= 0.75, (a, b)
    words = [line.split() for line in lines]
    first = [w[0].strip(",.:;!?") for w in words]
    assert len({tuple(w[:4]) for w in words}) == 55
    assert len(set(first)) >= 30
    assert max(first.count(w) for w in first) <= 5
    lengths = sorted(map(len, words))
    assert lengths[5] <= 6
    assert lengths[-6] >= 20


def test_no_instruction_serves_two_tasks_and_none_gives_a_pair_away():
    everything = [line.casefold() for t in TASKS for line in t.instructions]
    assert len(set(everything)) == len(everything)
    for task in TASKS:
        for line in task.instructions:
            words = set(line.replace(",", " ").replace(".", " ").split())
            assert not any(x in words and y in words for x, y in task.pairs.items()), line


def test_the_default_draw_is_table_2s_and_repeats():
    made = natural.draw(TASKS)
    assert len(made) == 8800
    assert made.groupby("task").size().unique().tolist() == [550]
    assert made["mapping"].nunique() == 160
    assert made["instruction_id"].nunique() == 880
    assert made.equals(natural.draw(TASKS))
    assert not made.equals(natural.draw(TASKS, seed=1))
    assert natural.twin_share(made) > 0.4


def folder(tmp_path, pairs='{"a": "b"}', instructions="Do it.\nDo that."):
    (tmp_path / "c").mkdir(exist_ok=True)
    (tmp_path / "c" / "t.json").write_text(pairs)
    if instructions is not None:
        (tmp_path / "c" / "t.instructions.txt").write_text(instructions)
    return tmp_path


def test_a_folder_of_that_shape_works(tmp_path):
    (task,) = natural.load(folder(tmp_path))
    assert (task.category, task.name, task.pairs, task.instructions) == ("c", "t", {"a": "b"}, ("Do it.", "Do that."))
    assert len(natural.draw([task], pairs=1, instructions=2)) == 2


@pytest.mark.parametrize(
    ("pairs", "instructions", "words"),
    [
        ("{", "x", ["t.json is not JSON", "line 1"]),
        ("[1]", "x", ["t.json must be one JSON object"]),
        ("{}", "x", ["t.json holds no usable pair"]),
        ('{"a": "b", "a": "c"}', "x", ["t.json has the input 'a' twice"]),
        ('{"a": 3}', "x", ["t.json: the output of 'a' is 3, not a string"]),
        ('{"New York": "US"}', "x", ["t.json: 'New York' -> 'US' is not one word", "--drop-multiword"]),
        ('{"a": ""}', "x", ["'a' -> '' is not one word"]),
        ('{"a": "b"}', None, ["t.instructions.txt is missing"]),
        ('{"a": "b"}', "\n\n", ["t.instructions.txt is empty"]),
        ('{"a": "b"}', "x\ny\nx", ["t.instructions.txt has an instruction twice: 'x'"]),
    ],
)
def test_broken_files_are_refused_with_file_and_entry(tmp_path, pairs, instructions, words):
    with pytest.raises(natural.NaturalDataError) as error:
        natural.load(folder(tmp_path, pairs, instructions))
    for word in words:
        assert word in str(error.value)


def test_an_empty_folder_and_text_in_another_encoding_are_named(tmp_path):
    with pytest.raises(natural.NaturalDataError, match="holds no <category>/<task>"):
        natural.load(tmp_path)
    folder(tmp_path)
    (tmp_path / "c" / "t.json").write_bytes(json.dumps({"é": "b"}, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(natural.NaturalDataError, match="not UTF-8"):
        natural.load(tmp_path)


def test_pairs_of_several_words_are_left_out_on_request_and_counted(tmp_path, capsys):
    (task,) = natural.load(folder(tmp_path, '{"a": "b", "New York": "US"}'), drop_multiword=True)
    assert task.pairs == {"a": "b"}
    assert "left out 1 of 2 pairs" in capsys.readouterr().out


def test_instructions_can_come_from_another_folder(tmp_path):
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    folder(tmp_path / "ours")
    with_pairs_alone = folder(tmp_path / "theirs", '{"x": "y"}', None)
    (task,) = natural.load(with_pairs_alone, instructions=tmp_path / "ours")
    assert task.pairs == {"x": "y"}
    assert len(task.instructions) == 2


def test_too_few_pairs_say_how_many_there_are(tmp_path):
    with pytest.raises(natural.NaturalDataError, match=r"c/t has 1 pairs, fewer than the 10 asked for"):
        natural.draw(natural.load(folder(tmp_path)))
