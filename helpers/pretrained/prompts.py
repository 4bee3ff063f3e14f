"""Prompts of natural instances: written out, tokenised, and laid out in rows that share a prefix (section 3.4).

The prompts of one instruction differ only in the input. As one row they are the shared prefix once, then one tail a
prompt. The observed token is found by character offsets, and must overlap the input: a tokenizer that has no token for
an input is refused rather than observed at the character before it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers.pretrained.failures import ModelError
from helpers.settings import CHAT, PROMPT, template_text

MARKS = "\u2063\u2064\ue000\uf8ff"  # one of these, invisible or for private use, finds the input in a chat template


@dataclass(frozen=True)
class Prompts:
    """Tokenised prompts of K instances.

    Attributes:
        texts: the prompts, written out.
        tokens: token numbers of each prompt, special tokens included.
        at_input: index of the last token of the input in each prompt: the position that is observed.
        special: whether the tokenizer adds special tokens itself; a chat template writes them.
    """

    texts: list[str]
    tokens: list[list[int]]
    at_input: np.ndarray  # (K,)
    special: bool


def tokenise(tokenizer, instances: pd.DataFrame, template: str = PROMPT) -> Prompts:
    """Write out and tokenise every prompt, and find the last token of each input by its character offsets.

    Args:
        tokenizer: a fast tokenizer; its beginning-of-sequence token is added if it adds one by default.
        instances: columns instruction, input and output.
        template: text with {instruction} and {input}, or "chat".

    Raises:
        ModelError: "chat" for a tokenizer whose chat template is missing or does not show the input once; an input
            for which the tokenizer has no token.
        ValueError: a template that cannot be, see settings.template_text.
    """
    template = template_text(template)
    chat = template == CHAT
    write = _chat_writer(tokenizer, instances) if chat else _text_writer(template)
    texts, spans = zip(*(write(row) for row in instances.itertuples()), strict=True)
    tokens, offsets = encoded(tokenizer, texts, special=not chat)
    at_input = [_last_token(places, *span) for places, span in zip(offsets, spans, strict=True)]
    _check_observed(tokenizer, instances, tokens, at_input)
    return Prompts(list(texts), tokens, np.array(at_input), not chat)


def encoded(tokenizer, texts, special: bool) -> tuple[list[list[int]], list[list[tuple[int, int]]]]:
    """Tokens of texts and the characters that each holds, without special tokens that the tokenizer puts at the end."""
    made = tokenizer(
        list(texts), add_special_tokens=special, return_offsets_mapping=True, return_special_tokens_mask=True,
        verbose=False,
    )  # fmt: skip
    tokens, offsets = [], []
    for ids, places, added in zip(made["input_ids"], made["offset_mapping"], made["special_tokens_mask"], strict=True):
        end = len(ids)
        while special and end and added[end - 1] and places[end - 1][0] == places[end - 1][1]:
            end -= 1
        tokens.append(list(ids[:end]))
        offsets.append(places[:end])
    return tokens, offsets


def _last_token(offsets: list[tuple[int, int]], start: int, end: int) -> int | None:
    """Index of the last token that holds a character from start to end; None if there is none."""
    return max((i for i, (a, b) in enumerate(offsets) if a < end and b > start and b > a), default=None)


def _check_observed(tokenizer, instances: pd.DataFrame, tokens: list[list[int]], at_input: list[int | None]) -> None:
    """Refuse inputs that the tokenizer drops or turns into its unknown token: the state would not encode the input."""
    unknown = tokenizer.unk_token_id
    words = instances["input"].to_numpy()
    lost = {
        word: None
        for word, ids, at in zip(words, tokens, at_input, strict=True)
        if at is None or (ids[at] == unknown and word.strip() != tokenizer.unk_token)
    }
    if lost:
        more = f" and for {len(lost) - 1} more of the {len(set(words))} inputs" if len(lost) > 1 else ""
        raise ModelError(
            f"the tokenizer has no token for the input {next(iter(lost))!r}{more}: its files may be missing or another "
            "model's; otherwise leave such words out"
        )
    told: dict[tuple, str] = {}
    for instruction, word, ids in zip(instances["instruction"], words, tokens, strict=True):
        if told.setdefault((instruction, *ids), word) != word:
            raise ModelError(
                f"the tokenizer cannot tell {word!r} from {told[instruction, *ids]!r}: leave one of them out"
            )


def _text_writer(template: str):
    """A function from an instance to its prompt, and where in it the input starts and ends."""
    before, after = template.split("{input}")

    def write(row) -> tuple[str, tuple[int, int]]:
        head = before.replace("{instruction}", row.instruction)
        text = head + row.input + after.replace("{instruction}", row.instruction)
        return text, (len(head), len(head) + len(row.input))

    return write


def _chat_writer(tokenizer, instances: pd.DataFrame):
    """The same with the tokenizer's own chat template around the default prompt, as one message of a user.

    Content is given as text, or, to templates that want it so, as a list with one text.

    Raises:
        ModelError: see `tokenise`.
    """
    if not tokenizer.chat_template:
        raise ModelError("this tokenizer has no chat template; use a text template")
    if isinstance(tokenizer.chat_template, dict) and "default" not in tokenizer.chat_template:
        names = ", ".join(tokenizer.chat_template)
        raise ModelError(f"this tokenizer has chat templates for {names} and no default one; use a text template")
    everything = "".join(instances["instruction"]) + "".join(instances["input"])
    mark = next((m for m in MARKS if m not in everything), None)
    if mark is None:
        raise ModelError("the words hold every character that could mark the input in a chat; use a text template")
    body, after = PROMPT.removesuffix("\nOutput:").split("{input}")
    forms = [lambda text: text, lambda text: [{"type": "text", "text": text}]]

    def written(row, form) -> str:
        message = {"role": "user", "content": form(body.replace("{instruction}", row.instruction) + mark + row.input
                                                   + mark + after)}  # fmt: skip
        return tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)

    form = _form_that_works(written, forms, next(instances.itertuples()), mark)

    def write(row) -> tuple[str, tuple[int, int]]:
        parts = written(row, form).split(mark)
        if len(parts) != 3 or parts[1] != row.input:
            raise ModelError(f"the chat template changes the input {row.input!r}; use a text template")
        return "".join(parts), (len(parts[0]), len(parts[0]) + len(row.input))

    return write


def _form_that_works(written, forms: list, row, mark: str):
    """The first form of content with which the chat template shows the input exactly once; raises ModelError."""
    why = ""
    for form in forms:
        try:
            shown = written(row, form).count(mark) // 2
        except Exception as error:  # a template raises what it likes: TemplateError, TypeError, its own message
            why = why or f"refuses a user's message ({str(error).splitlines()[0] if str(error) else error!r})"
            continue
        if shown == 1:
            return form
        why = f"shows the message {shown} times" if shown else why or "does not show the message"
    raise ModelError(f"this tokenizer's chat template {why}; use a text template")


@dataclass(frozen=True)
class Row:
    """Prompts that share a prefix, as one row."""

    tokens: np.ndarray  # (S,)
    positions: np.ndarray  # (S,) place of each token in its own prompt
    tail: np.ndarray  # (S,) which prompt a token belongs to alone; -1 in the prefix
    at_input: np.ndarray  # (M,) index in the row
    at_answer: np.ndarray  # (M,) index of each prompt's last token
    prompts: np.ndarray  # (M,) which prompts these are


def shared_rows(prompts: Prompts, groups: list[np.ndarray], most: int = 0) -> list[Row]:
    """Rows of prompts that share a prefix, their longest common prefix written once.

    Args:
        groups: numbers of prompts; each group is one row, or several.
        most: tokens that a row may hold; a single longer prompt still gets a row of its own. 0: any number.
    """
    return [_row(prompts, part) for group in groups for part in _cut(prompts, np.asarray(group), most)]


def _cut(prompts: Prompts, group: np.ndarray, most: int) -> list[np.ndarray]:
    """A group in parts whose rows hold at most so many tokens."""
    shared = _shared(prompts, group)
    parts, size = [[group[0]]], len(prompts.tokens[group[0]])
    for i in group[1:]:
        tail = len(prompts.tokens[i]) - shared
        if most and size + tail > most:
            parts.append([])
            size = shared
        parts[-1].append(i)
        size += tail
    return [np.array(part) for part in parts]


def _shared(prompts: Prompts, group: np.ndarray) -> int:
    """Length of the longest common prefix; the observed and the last token of every prompt stay outside it."""
    sequences = [prompts.tokens[i] for i in group]
    most = min(min(int(prompts.at_input[i]), len(s) - 1) for i, s in zip(group, sequences, strict=True))
    low, high = min(sequences), max(sequences)  # the first and the last in lexicographic order share what all do
    return next((n for n in range(most) if low[n] != high[n]), most)


def _row(prompts: Prompts, group: np.ndarray) -> Row:
    shared = _shared(prompts, group)
    sequences = [prompts.tokens[i] for i in group]
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
