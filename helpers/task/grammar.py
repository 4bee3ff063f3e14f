"""Random regular expressions, and instructions sampled from them (section 2.2, appendix A).

An expression is a concatenation of metacharacters, each with its own distinct characters as arguments.
The paper does not say which metacharacters; these are real ones, and `re.fullmatch` accepts every
sampled instruction. Quantifiers carry explicit bounds, so that an expression alone says what it can give.
"""

import random
import re
import string

import rstr

from helpers.errors import Refused

# How each metacharacter is written around its arguments `c`, with `r` the upper bound of quantifiers.
METACHARACTERS = {
    "group": lambda c, r: f"({''.join(c)}){{1,{r}}}",  # (abc){1,2}: the sequence, repeated
    "plus": lambda c, r: "".join(f"{x}{{1,{r}}}" for x in c),  # a{1,2}b{1,2}c{1,2}: each, in order
    "star": lambda c, r: "".join(f"{x}{{0,{r}}}" for x in c),  # a{0,2}b{0,2}c{0,2}: some, in order
    "class": lambda c, r: f"[{''.join(c)}]{{1,{r}}}",  # [abc]{1,2}: any of them
    "optional": lambda c, r: "".join(f"{x}?" for x in c),  # a?b?c?: some, once
    "alternation": lambda c, r: f"({'|'.join(c)})",  # (a|b|c): one of them
}

# Lower-case letters and digits for instructions, upper-case for tasks; further alphabets for large settings.
_INSTRUCTION_POOL = string.ascii_lowercase + string.digits[1:] + "".join(map(chr, range(0x4E00, 0x9FA6)))
_TASK_POOL = string.ascii_uppercase + "".join(map(chr, range(0xAC00, 0xD7A4)))


class GrammarError(Refused):
    """Settings under which no expression can give the instructions asked for; names the limit."""


def instruction_vocabulary(size: int) -> str:
    """The first `size` instruction symbols: a-z, 1-9, then letters of a larger script."""
    return _take(_INSTRUCTION_POOL, size, "data.instruction_vocabulary_size")


def task_vocabulary(size: int) -> str:
    """The first `size` task symbols: A-Z, then letters of a larger script; none is an instruction symbol."""
    return _take(_TASK_POOL, size, "data.task_vocabulary_size")


def _take(pool: str, size: int, setting: str) -> str:
    if size > len(pool):
        raise GrammarError(f"{setting}={size} exceeds the {len(pool)} symbols at hand")
    return pool[:size]


def sample_expression(rng: random.Random, vocabulary: str, data) -> str:
    """Draw one regular expression.

    Args:
        rng: source of randomness.
        vocabulary: instruction symbols, none of them special in a regular expression.
        data: settings; uses metacharacters, max_repeats, and the minimum and maximum of metacharacters
            per expression and of characters per metacharacter (Table 3).
    """
    parts = []
    for _ in range(rng.randint(data.min_metacharacters, data.max_metacharacters)):
        write = METACHARACTERS[rng.choice(data.metacharacters)]
        arguments = rng.sample(vocabulary, rng.randint(data.min_characters, data.max_characters))
        parts.append(write(arguments, data.max_repeats))
    return "".join(parts)


def sample_instructions(rng: random.Random, expression: str, count: int, taken: set[str], data) -> list[str]:
    """Draw up to `count` distinct instructions that match `expression`, none of them in `taken`.

    Returns fewer than `count` where the expression does not give enough within 40 tries an instruction.
    Instructions outside data.min_instruction_length..max_instruction_length are drawn again.
    """
    sampler = rstr.Rstr(rng)
    found: list[str] = []
    for _ in range(40 * count):
        text = sampler.xeger(expression)
        if data.min_instruction_length <= len(text) <= data.max_instruction_length and text not in taken:
            taken.add(text)
            found.append(text)
            if len(found) == count:
                break
    return found


def sample_distribution(rng: random.Random, vocabulary: str, taken: set[str], data) -> tuple[str, list[str]]:
    """Draw an expression and its instructions; an expression too poor for them is drawn again.

    Adds the instructions to `taken`.

    Raises:
        GrammarError: 200 expressions in a row could not give data.instructions_per_distribution new
            instructions.
    """
    count = data.instructions_per_distribution
    most = 0
    for _ in range(200):
        expression = sample_expression(rng, vocabulary, data)
        instructions = sample_instructions(rng, expression, count, taken, data)
        if len(instructions) == count:
            return expression, instructions
        taken.difference_update(instructions)
        most = max(most, len(instructions))
    raise GrammarError(
        f"200 random expressions in a row gave at most {most} new instructions of "
        f"{data.min_instruction_length} to {data.max_instruction_length} symbols, but "
        f"data.instructions_per_distribution={count}: lower it, or raise data.max_characters, data.max_metacharacters, "
        "data.max_repeats, data.max_instruction_length or data.instruction_vocabulary_size"
    )


def replace_symbol(rng: random.Random, text: str, expression: str, vocabulary: str, taken: set[str]) -> str:
    """One symbol of an instruction replaced so that its expression no longer matches (hard examples).

    Adds the new instruction to `taken`.

    Raises:
        GrammarError: no replacement is new and outside the expression.
    """
    choices = [(i, new) for i, old in enumerate(text) for new in vocabulary if new != old]
    rng.shuffle(choices)
    for place, new in choices:
        changed = text[:place] + new + text[place + 1 :]
        if changed not in taken and not re.fullmatch(expression, changed):
            taken.add(changed)
            return changed
    raise GrammarError(
        f"no symbol of {text!r} can be replaced without matching its own expression {expression} or another "
        "instruction: raise data.instruction_vocabulary_size"
    )


def replace_word(
    rng: random.Random, texts: list[list[str]], expressions: list[str], vocabulary: str, taken: set[str]
) -> list[list[str]]:
    """One word replaced by another in all hard instructions of a task, as "initial" by "secondary" in the paper.

    The new symbol is the same for the whole task and occurs in none of its expressions, so that it signals the new
    task. It takes the place of a symbol that all instructions of a distribution share, wherever that stands, or of one
    of its own where they share none. Adds the new instructions to `taken`.

    Args:
        texts: the instructions to be made hard, a list for each distribution.
        expressions: one for each distribution.

    Raises:
        GrammarError: no new symbol gives new instructions outside all expressions.
    """
    unused = [new for new in vocabulary if not any(new in _symbols(e) for e in expressions)]
    for new in rng.sample(unused, len(unused)):
        changed = [_with_word(rng, part, new) for part in texts]
        flat = [text for part in changed for text in part]
        fresh = len(set(flat)) == len(flat) and taken.isdisjoint(flat)
        if fresh and not any(re.fullmatch(e, t) for e in expressions for t in flat):
            taken.update(flat)
            return changed
    raise GrammarError(
        f"no symbol is free to signal a hard task in all of its instructions ({len(unused)} are in none of its "
        "expressions): raise data.instruction_vocabulary_size or set data.hard_replacement=instruction"
    )


def _with_word(rng: random.Random, texts: list[str], new: str) -> list[str]:
    """Instructions of a distribution with one of the symbols that they share replaced by `new`."""
    shared = [s for s in dict.fromkeys(texts[0]) if all(s in text for text in texts)]
    word = rng.choice(shared) if shared else ""
    return [text.replace(word or rng.choice(text), new) for text in texts]


def _symbols(expression: str) -> set[str]:
    """The instruction symbols of an expression: what its quantifiers count does not belong to them."""
    return set(re.sub(r"\{[^}]*\}", "", expression))
