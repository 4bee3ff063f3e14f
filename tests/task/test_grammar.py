import random
import re

import pytest

from helpers.settings import DataSettings
from helpers.task import grammar

VOCABULARY = grammar.instruction_vocabulary(35)


@pytest.mark.parametrize("metacharacter", grammar.METACHARACTERS)
def test_every_sampled_instruction_matches_its_expression(metacharacter):
    data = DataSettings(metacharacters=(metacharacter,), min_instruction_length=1)
    rng = random.Random(1)
    for _ in range(30):
        expression = grammar.sample_expression(rng, VOCABULARY, data)
        for text in grammar.sample_instructions(rng, expression, 5, set(), data):
            assert re.fullmatch(expression, text)


def test_expressions_keep_table_3s_bounds():
    data = DataSettings(metacharacters=("alternation",))
    rng = random.Random(0)
    counts, arguments = set(), set()
    for _ in range(300):
        groups = re.findall(r"\(([^)]*)\)", grammar.sample_expression(rng, VOCABULARY, data))
        counts.add(len(groups))
        for group in groups:
            symbols = group.split("|")
            assert len(set(symbols)) == len(symbols)
            arguments.add(len(symbols))
    assert counts == {1, 2, 3}
    assert arguments == set(range(3, 11))


def test_vocabularies_are_disjoint_and_grow():
    big, tasks = grammar.instruction_vocabulary(4000), grammar.task_vocabulary(2000)
    assert len(set(big)) == 4000
    assert not set(big) & set(tasks)
    assert re.fullmatch(f"[{big}]+", big)
    with pytest.raises(grammar.GrammarError, match=r"data\.instruction_vocabulary_size=99999"):
        grammar.instruction_vocabulary(99999)


def test_instructions_are_new_and_distinct():
    data = DataSettings()
    taken: set[str] = set()
    rng = random.Random(0)
    texts = [t for _ in range(50) for t in grammar.sample_distribution(rng, VOCABULARY, taken, data)[1]]
    assert len(texts) == len(set(texts)) == len(taken) == 500


def test_a_grammar_that_is_too_poor_names_the_limit():
    data = DataSettings(metacharacters=("alternation",), max_metacharacters=1, min_instruction_length=1)
    with pytest.raises(grammar.GrammarError, match=r"gave at most .* data\.instructions_per_distribution=10"):
        grammar.sample_distribution(random.Random(0), VOCABULARY, set(), data.model_copy(update={"max_characters": 5}))


def test_a_replaced_symbol_leaves_the_expression():
    rng = random.Random(0)
    changed = grammar.replace_symbol(rng, "abcabc", "(abc){1,2}", VOCABULARY, set())
    assert sum(a != b for a, b in zip("abcabc", changed, strict=True)) == 1
    assert not re.fullmatch("(abc){1,2}", changed)
    with pytest.raises(grammar.GrammarError, match="can be replaced"):
        grammar.replace_symbol(rng, "a", "[ab]", "ab", set())
