"""Prompts of natural instances: written out, tokenised, and laid out in rows that share a prefix (section 3.4).

The prompts of one instruction differ only in the input. As one row they are the shared prefix once, then one tail a
prompt.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers.pretrained.loading import ModelError
from helpers.settings import PROMPT

CHAT = "chat"  # this template is the tokenizer's own chat template around the default one


@dataclass(frozen=True)
class Prompts:
    """Tokenised prompts of K instances.

    Attributes:
        tokens: token numbers of each prompt, special tokens included.
        at_input: index of the last token of the input in each prompt: the position that is observed.
        first_answer: the first token of each right answer, as it would follow the prompt.
    """

    tokens: list[list[int]]
    at_input: np.ndarray  # (K,)
    first_answer: np.ndarray  # (K,)


def tokenise(tokenizer, instances: pd.DataFrame, template: str = PROMPT) -> Prompts:
    """Write out and tokenise every prompt, and find the last token of each input by its character offsets.

    Args:
        tokenizer: a fast tokenizer; its own beginning-of-sequence token is added as it would be.
        instances: columns instruction, input and output.
        template: text with {instruction} and {input}, or "chat".

    Raises:
        ModelError: a template without both fields, or "chat" for a tokenizer that has none.
    """
    if template == CHAT and not tokenizer.chat_template:
        raise ModelError("this tokenizer has no chat template; use a text template")
    if template != CHAT and not all(field in template for field in ("{instruction}", "{input}")):
        raise ModelError(f"the template {template!r} must hold {{instruction}} and {{input}}")
    texts, ends = zip(*(_text_and_end(tokenizer, row, template) for row in instances.itertuples()), strict=True)
    special = template != CHAT  # a chat template writes its special tokens itself
    encoded = tokenizer(list(texts), add_special_tokens=special, return_offsets_mapping=True)
    at_input = [_token_at(offsets, end) for offsets, end in zip(encoded["offset_mapping"], ends, strict=True)]
    tokens = [_without_end(tokenizer, ids) for ids in encoded["input_ids"]]
    answers = [text + _gap(text) + output for text, output in zip(texts, instances["output"], strict=True)]
    full = tokenizer(answers, add_special_tokens=special)["input_ids"]
    first = [ids[len(prompt)] if len(ids) > len(prompt) else -1 for ids, prompt in zip(full, tokens, strict=True)]
    return Prompts(tokens, np.array(at_input), np.array(first))


def _text_and_end(tokenizer, row, template: str) -> tuple[str, int]:
    """The prompt, and the character at which its input ends."""
    body = PROMPT if template == CHAT else template
    before, after = body.split("{input}")
    before = before.replace("{instruction}", row.instruction)
    if template == CHAT:
        mark = "\u2063"  # finds the input again in whatever the chat template wraps around it
        message = [{"role": "user", "content": before + mark + row.input + mark + after.removesuffix("\nOutput:")}]
        text = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        head, _, tail = text.split(mark)
        return head + row.input + tail, len(head) + len(row.input)
    return before + row.input + after.replace("{instruction}", row.instruction), len(before) + len(row.input)


def _token_at(offsets: list[tuple[int, int]], end: int) -> int:
    return max(i for i, (start, stop) in enumerate(offsets) if start < end and stop > start)


def _without_end(tokenizer, ids: list[int]) -> list[int]:
    return ids[:-1] if ids and ids[-1] == tokenizer.eos_token_id else ids


def _gap(text: str) -> str:
    return "" if text[-1].isspace() else " "


@dataclass(frozen=True)
class Row:
    """Prompts that share a prefix, as one row."""

    tokens: np.ndarray  # (S,)
    positions: np.ndarray  # (S,) place of each token in its own prompt
    tail: np.ndarray  # (S,) which prompt a token belongs to alone; -1 in the prefix
    at_input: np.ndarray  # (M,) index in the row
    at_answer: np.ndarray  # (M,) index of each prompt's last token
    prompts: np.ndarray  # (M,) which prompts these are


def shared_rows(prompts: Prompts, groups: list[np.ndarray]) -> list[Row]:
    """One row for each group of prompts, its longest common prefix written once."""
    return [_row(prompts, np.asarray(group)) for group in groups]


def _row(prompts: Prompts, group: np.ndarray) -> Row:
    sequences = [prompts.tokens[i] for i in group]
    shared = min(int(prompts.at_input[i]) for i in group)  # the observed token stays in the tail
    shared = min(shared, *(len(s) - 1 for s in sequences))
    while any(s[:shared] != sequences[0][:shared] for s in sequences):
        shared -= 1
    tokens, positions, tail = list(sequences[0][:shared]), list(range(shared)), [-1] * shared
    at_input, at_answer = [], []
    for k, (i, sequence) in enumerate(zip(group, sequences, strict=True)):
        start = len(tokens) - shared
        tokens += sequence[shared:]
        positions += range(shared, len(sequence))
        tail += [k] * (len(sequence) - shared)
        at_input.append(start + prompts.at_input[i])
        at_answer.append(len(tokens) - 1)
    return Row(*(np.array(a) for a in (tokens, positions, tail, at_input, at_answer)), group)


def pad(values: np.ndarray, length: int, with_: int) -> np.ndarray:
    """Values (S,) filled up on the right to `length`."""
    return np.concatenate([values, np.full(length - len(values), with_, dtype=np.int64)])
