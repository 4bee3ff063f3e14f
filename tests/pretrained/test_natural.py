import itertools
import json
import re
import unicodedata
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from rapidfuzz import fuzz

from helpers.pretrained import natural

TASKS = natural.load()
EACH = pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)


def words(line):
    """The words of a line in lower case, without punctuation; a hyphen or an apostrophe parts two."""
    return re.findall(r"[^\W\d_]+", line.casefold())


def differing(pairs):
    """For each pair, whether its input has another answer under another task of its category."""
    answers = pairs.groupby(["category", "input"])["output"].nunique()
    return pairs.set_index(["category", "input"]).index.map(answers).to_numpy() > 1


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


@EACH
def test_pairs(task):
    assert len(task.pairs) >= 50
    assert len({x.casefold() for x in task.pairs}) == len(task.pairs)
    for x, y in task.pairs.items():
        assert x.isalpha(), x  # so one word
        assert y.isalpha(), y
        assert unicodedata.is_normalized("NFC", x + y), x
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


# Inputs whose answer a reader found wrong, contestable or one of two that are as usual.
NOT_CLEAR = {
    "italian_to_english": "strada",
    "location_to_continent": "Australia Sydney Melbourne Brisbane Queensland Uluru Tasmania Lagos",
    "person_to_language": "Linnaeus Hafez Calvin",
    "religion": "Jordan Israel Malala Gobind Arjan Wesley Hillel Atsutane",
    "antonyms": "old hard",
}


@pytest.mark.parametrize("name", NOT_CLEAR)
def test_inputs_without_one_clear_answer_are_left_out(name):
    (task,) = [task for task in TASKS if task.name == name]
    assert not set(NOT_CLEAR[name].split()) & set(task.pairs)


def test_a_collective_noun_is_not_a_single_piece():
    (task,) = [task for task in TASKS if task.name == "italian_to_english"]
    assert task.pairs.get("uva", "grapes") == "grapes"


@EACH
def test_files_are_one_entry_a_line_without_stray_space(task):
    base = natural.FOLDER / task.category
    for path in (base / f"{task.name}.json", base / f"{task.name}.instructions.txt"):
        text = path.read_bytes().decode("utf-8")
        assert not text.startswith("\ufeff")
        assert text.endswith("\n")
        assert unicodedata.is_normalized("NFC", text)
        assert all(line == line.rstrip() and line for line in text.splitlines()), path
        assert "\t" not in text
        assert "  " not in text
        assert "\r" not in text
    assert len((base / f"{task.name}.json").read_text().splitlines()) == len(task.pairs) + 2


def test_every_task_has_inputs_that_mean_something_else_under_another_task():
    """A twin whose answer differs shows whether the instruction is heeded; one whose answer agrees shows nothing."""
    rows = [(t.category, t.name, x, y) for t in TASKS for x, y in t.pairs.items()]
    pairs = pd.DataFrame(rows, columns=["category", "task", "input", "output"])
    shared = pairs.groupby(["category", "input"])["task"].transform("size") > 1
    assert differing(pairs)[shared].all(), "an input whose answers all agree"
    counted = pairs[differing(pairs)].groupby(["category", "task"]).size()
    assert len(counted) == 16
    assert counted.min() >= 25
    total = counted.groupby("category").sum()
    assert total["knowledge"] >= 220
    assert total["linguistic"] >= 320
    assert total["translation"] >= 285


@pytest.mark.parametrize("seed", range(6))
def test_nearly_every_drawn_instance_has_such_a_twin(seed):
    drawn = natural.draw(TASKS, seed=seed).drop_duplicates("mapping")
    assert len(drawn) == 160
    twins = drawn[differing(drawn)].groupby("category").size()
    assert twins.min() >= 37  # knowledge draws 40, the others 60 each
    assert twins.sum() >= 155
    assert drawn[differing(drawn)].groupby("task").size().min() >= 8  # of 10


def test_a_draw_without_enough_twins_takes_what_there_is():
    shared = {"a": "1", "b": "2", "c": "3"}
    tasks = [
        natural.NaturalTask("k", "one", shared | {"d": "4"}, ("Do it.",)),
        natural.NaturalTask("k", "two", {"a": "9", "b": "2", "e": "5", "f": "6"}, ("Do that.",)),
        natural.NaturalTask("other", "three", {"a": "7", "c": "8"}, ("Do so.",)),
    ]
    for seed in range(20):
        one, two, three = natural.draw_pairs(tasks, 2, np.random.default_rng(seed))
        assert "a" in one, "its twin has another answer"
        assert "a" in two
        assert set(three) == {"a", "c"}
        assert all(len(set(inputs)) == 2 for inputs in (one, two, three))
    drawn = {x for seed in range(20) for x in natural.draw_pairs(tasks, 2, np.random.default_rng(seed))[0]}
    assert drawn == {"a", "b", "c", "d"}, "what has no twin is drawn at random"


@EACH
def test_instructions_are_55_and_no_two_nearly_alike(task):
    lines = [words(line) for line in task.instructions]
    assert len(lines) == len({tuple(line) for line in lines}) == 55
    for a, b in itertools.combinations(lines, 2):
        one, other = " ".join(a), " ".join(b)
        assert fuzz.ratio(one, other) <= 82, (one, other)
        assert fuzz.token_sort_ratio(one, other) <= 85, (one, other)
        assert len({*a} & {*b}) / len({*a} | {*b}) <= 2 / 3, (one, other)


@EACH
def test_instructions_begin_in_many_ways_and_are_short_and_long(task):
    lines = [line.casefold().split() for line in task.instructions]
    assert len({tuple(line[:4]) for line in lines}) == 55
    first = Counter(line[0].strip(",.:;!?'") for line in lines)
    assert len(first) >= 45
    assert max(first.values()) <= 3
    lengths = sorted(map(len, lines))
    assert lengths[5] <= 7
    assert lengths[-6] >= 15
    assert lengths[-1] <= 30


def test_no_instruction_serves_two_tasks():
    everything = [tuple(words(line)) for t in TASKS for line in t.instructions]
    assert len(set(everything)) == len(everything)


@EACH
def test_no_instruction_holds_an_input_or_an_output_of_its_task(task):
    known = {word.casefold() for pair in task.pairs.items() for word in pair}
    for line in task.instructions:
        assert not known.intersection(words(line)), line


RELIGIONS = """christianity christian islam muslim hinduism hindu buddhism buddhist sikhism sikh judaism jewish taoism
    taoist jainism jain shinto zoroastrianism zoroastrian confucianism paganism atheism catholic protestant orthodox"""
CONTINENTS = "africa african america american antarctica asia asian australia europe european oceania oceanian eurasia"


@EACH
def test_no_instruction_lists_answers_or_gives_an_example(task):
    for line in task.instructions:
        assert not set(words(line)) & {*RELIGIONS.split(), *CONTINENTS.split()}, line
        assert not re.search(r"\d", line), line
        assert not re.search(r"\b(for example|for instance|e\.g\.|and so on|etc)\b", line, re.IGNORECASE), line
        assert line.isprintable()
        assert line.isascii(), line  # straight quotes, no words of another language
        assert line.count("'") % 2 == 0 or re.search(r"[a-z]'[a-z]", line), line
        assert line[0].isupper(), line


# Words for kinds of input that leave out some inputs of a task, and for facts that are false of some.
LEAVES_OUT = {
    "translation": """noun verb adjective adverb pronoun preposition conjunction object action quality person animal
        food infinitive masculine feminine gender plural singular thing things picture""",
    "antonyms": "noun verb adverb colour size person thing object quality scale degree",
    "singular_to_plural": "person people thing things item items object objects animal animals countable count verb",
    "plural_to_singular": "person people thing things item items object objects animal animals countable count verb",
    "present_to_gerund": "base infinitive regular irregular activity hobby action intransitive transitive stem",
    "present_to_past_simple": "base infinitive regular irregular action ed stem",
    "present_to_past_perfect": "base infinitive regular irregular action ed en stem",
    "country_to_capital": """president king queen monarch republic kingdom parliament largest biggest island coast
        continent""",
    "location_to_continent": """city cities town country countries nation state river mountain peak desert island region
        capital address land landmass soil street population""",
    "religion": """city cities country countries nation land island king poet poets saint saints prophet thinker ruler
        believer believers founder majority composer man woman he she his her holy sacred worship pray monk priest""",
    "person_to_language": """surname writer ruler scientist poet painter politician composer king man woman he she
        his her historical ancient dead late alive celebrity""",
}


@EACH
def test_no_instruction_names_a_kind_that_leaves_out_inputs(task):
    kinds = {*LEAVES_OUT["translation" if task.category == "translation" else task.name].split()}
    for line in task.instructions:
        assert not kinds.intersection(words(line)), line


@pytest.mark.parametrize("task", [t for t in TASKS if t.category == "translation"], ids=lambda t: t.name)
def test_translations_name_both_languages(task):
    """Many inputs are words of several languages, so 'in French, please' would not say which is meant."""
    for line in task.instructions:
        for language in task.name.split("_to_"):
            assert language in line.casefold() or f"{language}s" in line.casefold(), line


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
        ('[{"input": "a", "input": "c", "output": "b"}]', "x", ["t.json: its entry 1 gives a name twice"]),
        ('{"a": %s}' % ("9" * 5000), "x", ["t.json cannot be read"]),
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


def test_links_are_followed_and_nothing_is_left_out_in_silence(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    folder(there)
    (here / "d").symlink_to(there / "c")
    assert [(task.category, task.name) for task in natural.load(here)] == [("d", "t")]
    (there / "c" / "u.json").symlink_to("nowhere")
    with pytest.raises(natural.NaturalDataError, match=r"u\.json is a link to what is not there"):
        natural.load(here)
    (there / "c" / "u.json").unlink()
    (there / "c" / "u.instructions.txt").write_text("Do it.")
    with pytest.raises(natural.NaturalDataError, match=r"u\.instructions\.txt has no pairs of words beside it"):
        natural.load(here)


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
