"""Whether a model solves an instance: its own greedy continuation, read as text, not as the token after a space.

Spaces and line breaks that a model writes first do not count. By `first`, an instance is solved if what follows starts
with the answer's first token that holds a visible character (with as many further tokens as that character needs, where
a tokenizer cuts characters into bytes). By `full`, the whole answer must follow, and end there: 'dogs' is not 'dog'.
The paper says nothing of how often its models solve the tasks (section 3.4).
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from helpers.pretrained.prompts import Prompts, encoded

# What counts as solved, as it is said beside the share.
MEANING = {
    "first": "the model's greedy continuation, spaces aside, starts with the answer's first visible token",
    "full": "the model's greedy continuation, spaces aside, is the whole answer",
}
MODES = tuple(MEANING)
# What may stand between a prompt and its answer: tokenizers cut a word differently after each.
GAPS = ("", " ", "\n")
SPARE = 6  # tokens that may hold spaces alone, or a part of a character


@dataclass(frozen=True)
class Expected:
    """The right answers of K prompts.

    Attributes:
        mode: first or full.
        texts: for each prompt, any of which must come, as the tokenizer writes them; none where it cannot.
        tokens: how many tokens to read at the most.
    """

    mode: str
    texts: list[frozenset[str]]
    tokens: int

    @property
    def untold(self) -> int:
        """How many answers the tokenizer cannot write: no model can be said to solve them."""
        return sum(not right for right in self.texts)


def expect(tokenizer, prompts: Prompts, outputs: list[str], mode: str = "first") -> Expected:
    """What the continuations of the prompts must start with.

    Args:
        outputs: K right answers.
        mode: first (the first token with a visible character) or full (the whole answer).
    """
    texts: list[set[str]] = [set() for _ in outputs]
    most = 0
    for gap in GAPS:
        heads = [text + gap for text in prompts.texts]
        whole = [head + output for head, output in zip(heads, outputs, strict=True)]
        for found, head, ids, offsets in zip(texts, heads, *encoded(tokenizer, whole, prompts.special), strict=True):
            start = next((k for k, (a, b) in enumerate(offsets) if b > len(head) and b > a), None)
            if start is None or head[min(offsets[start][0], len(head)) :].strip():
                continue  # the answer is lost, or its first token holds the end of the prompt: another gap will tell
            rest = ids[start:]
            if tokenizer.unk_token_id in rest:
                continue
            most = max(most, len(rest))
            piece = _visible(tokenizer, rest) if mode == "full" else _first_piece(tokenizer, rest)
            found |= {piece} - {""}
    return Expected(mode, [frozenset(found) for found in texts], (most if mode == "full" else 1) + SPARE)


def solve(tokenizer, expected: Expected, chosen: np.ndarray, first: np.ndarray, ask: Callable) -> np.ndarray:
    """Whether the model solves the chosen prompts.

    Args:
        chosen: (M,) numbers of prompts.
        first: (M,) most probable token after each.
        ask: (numbers of prompts, tokens to read behind each) -> most probable next tokens.

    Returns:
        (M,) bool.
    """
    written = {int(i): [int(token)] for i, token in zip(chosen, first, strict=True)}
    solved: dict[int, bool] = {}
    while True:
        for i in set(written) - set(solved):
            judged = _judge(tokenizer, expected, expected.texts[i], written[i])
            if judged is not None:
                solved[i] = judged
        if not (open_ := [i for i in written if i not in solved]):
            return np.array([solved[int(i)] for i in chosen])
        for i, token in zip(open_, ask(np.array(open_), [written[i] for i in open_]), strict=True):
            written[i].append(int(token))


def continued(prompts: Prompts, chosen: np.ndarray, written: list[list[int]]) -> Prompts:
    """The prompts with tokens written behind the chosen ones."""
    tokens = list(prompts.tokens)
    for i, more in zip(chosen, written, strict=True):
        tokens[i] = tokens[i] + more
    return replace(prompts, tokens=tokens)


def _judge(tokenizer, expected: Expected, right: frozenset[str], ids: list[int]) -> bool | None:
    """Whether what was written is right; None if more must be read."""
    text = _visible(tokenizer, ids)
    whole = text.rstrip("\ufffd")  # bytes that are not yet a character
    if len(ids) >= expected.tokens and (not whole or whole != text):
        return False
    if not whole:
        return None
    if expected.mode == "first":
        return text in right if whole == text else None
    hopeful = [answer for answer in right if answer.startswith(whole) or whole.startswith(answer)]
    if any(len(whole) > len(answer) and _ends(answer, whole[len(answer)]) for answer in hopeful):
        return True
    if not any(len(whole) <= len(answer) for answer in hopeful):
        return False
    return None if len(ids) < expected.tokens else whole in right


def _ends(answer: str, following: str) -> bool:
    """Whether a word may end before a character: it is no letter or digit, or the script sets no spaces."""
    unspaced = unicodedata.east_asian_width(answer[-1]) in "WF"
    return unspaced or not (following.isalnum() or unicodedata.combining(following))


def _first_piece(tokenizer, ids: list[int]) -> str:
    """Text of the fewest tokens that hold a whole visible character."""
    texts = (_visible(tokenizer, ids[:n]) for n in range(1, len(ids) + 1))
    return next((text for text in texts if text and not text.endswith("\ufffd")), "")


def _visible(tokenizer, ids: list[int]) -> str:
    """Text of tokens, composed (NFC), without spaces around it."""
    text = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return unicodedata.normalize("NFC", text).strip()
