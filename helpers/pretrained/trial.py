"""A few prompts run in several ways before any long work: what is right for this model, or why it is refused.

No architecture is trusted by its name. What counts is one prompt at a time in the plainest way: the whole model with
output_hidden_states=True. Shared prefixes, batches, watched blocks and a head that sees single positions are used only
where they agree with it on the longest rows that there will be. A model whose states at the input depend on what comes
after, on an earlier prompt or on chance, or are not numbers, is refused.
"""

from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from helpers.pretrained.failures import ModelError, is_out_of_memory
from helpers.pretrained.loading import Loaded
from helpers.pretrained.observe import PLAIN, Way, observe_rows
from helpers.pretrained.prompts import Prompts, Row, shared_rows

# Another way may change states by this many times what rounding alone does, and rounding itself must be small.
TOLERANCE = 4
MOST_ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 0.2, torch.float16: 0.05}
ROW_TOKENS = 2048  # a row's attention mask takes the square of it
NO_EMBEDDING = "layer 0 is not the embedding output: it knows the words before, so it is the first block's"
LEAST_ROW = 32  # tokens; below it, shared rows are given up


@dataclass(frozen=True)
class Found:
    """What the trial found.

    Attributes:
        way: how to observe this model.
        widths: of the states of each layer.
        sharing: what sharing prefixes changes in states, relative to how far they lie apart; inf where it is refused.
        rounding: what embeddings changed in their last digit do, likewise.
        embedding: whether layer 0 is the embedding output; models without one hand out the first block's instead.
    """

    way: Way
    widths: tuple[int, ...]
    sharing: float
    rounding: float
    embedding: bool

    def __str__(self) -> str:
        rows = f"rows of up to {self.way.row_tokens} tokens share prefixes" if self.way.row_tokens else (
            "one prompt a row instead" + ("" if self.way.batched else ", and one row at a time")
        )  # fmt: skip
        layers = "the observed position alone" if self.way.blocks else "every position, for want of blocks to watch"
        return (
            f"sharing prefixes changes states by {self.sharing:.1g} of their spread, rounding alone by "
            f"{self.rounding:.1g}; {rows}; layers keep {layers}{'' if self.embedding else f'; {NO_EMBEDDING}'}"
        )


def try_out(model: Loaded, prompts: Prompts, groups: list[np.ndarray], room: int = 8) -> Found:
    """Find the way to observe a model on these prompts.

    Args:
        groups: prompts of one instruction each.
        room: tokens that answers may add to a prompt.

    Raises:
        ModelError: it cannot be observed rightly; the message says what is missing, and the remedy.
    """
    check_lengths(model, prompts, room)
    trial = _Trial(model, prompts, room)
    limit = MOST_ROUNDING.get(model.dtype, 1e-3)
    trial.check_repeatable(limit)
    rounding = trial.rounding()
    most = max(TOLERANCE * rounding, 1e-5)
    trial.check_that_later_words_do_not_count(min(max(2 * rounding, 1e-5), limit))
    way, sharing = PLAIN, float("inf")
    if rounding <= limit:
        way = trial.first_right(_watched(model, depth=len(trial.plain(0)) - 2), most)
        way = trial.first_right([replace(way, head_cut=True)], most, way)
        tokens, sharing = trial.longest_rows(way, groups, most)
        way = replace(way, row_tokens=tokens, batched=bool(tokens) or trial.same_length_agrees(way, most))
    trial.check_repeatable(min(most, limit))  # once more, after many other prompts
    widths = tuple(h.shape[-1] for h in trial.plain(0)[:-1])
    return Found(way, widths, sharing, rounding, trial.begins_with_the_embedding(most))


def check_lengths(model: Loaded, prompts: Prompts, room: int) -> None:
    """Refuse prompts with tokens that the model has no embedding for, or longer than the positions it was made for."""
    embeddings = model.whole.get_input_embeddings()
    rows = getattr(embeddings, "num_embeddings", None) or model.config.vocab_size
    highest = max(map(max, prompts.tokens))
    if highest >= rows:
        raise ModelError(
            f"{model.name}: the tokenizer has a token {highest}, the model embeds {rows}: they do not belong together"
        )
    longest, limit = max(map(len, prompts.tokens)) + room, _positions(model.config)
    if limit and longest > limit:
        raise ModelError(
            f"{model.name}: prompts have up to {longest} tokens with their answers, more than the model's {limit} "
            "positions: shorten the instructions or the template"
        )


def _positions(config) -> int:
    """Tokens that a model was made for; 0 if its configuration does not say."""
    found = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", None)
    if not isinstance(found, int) or found < 0:
        return 0
    ropes = getattr(config, "rope_parameters", None) or {}
    each = [r for r in (ropes, *ropes.values()) if isinstance(r, dict)]
    grows = [r.get("factor") or 1 for r in each if "dynamic" in str(r.get("rope_type"))]
    return int(found * max(grows, default=1))


def _watched(model: Loaded, depth: int) -> list[Way]:
    """Ways to watch what may be the blocks: lists of as many modules as there are layers above the embeddings."""
    names = {id(module): name for name, module in model.whole.named_modules()}
    lists = [n for n, m in model.whole.named_modules() if isinstance(m, torch.nn.ModuleList) and len(m) == depth]
    tops = [dict.fromkeys([blocks.rpartition(".")[0], names[id(model.body)]]) for blocks in lists]
    return [Way(blocks=blocks, top=top) for blocks, each in zip(lists, tops, strict=True) for top in each]


class _Trial:
    """Prompts of one model, run plainly once and compared with other ways.

    Differences are root mean squares of a prompt's state, relative to how far the states of a layer lie apart, at the
    worst prompt and layer; the logits count as one more layer.
    """

    def __init__(self, model: Loaded, prompts: Prompts, room: int) -> None:
        self.model, self.prompts, self.who = model, prompts, f"{model.name} ({type(model.whole).__name__})"
        self.known: dict[int, list[torch.Tensor]] = {}
        lengths = [len(tokens) for tokens in prompts.tokens]
        self.longest, shortest = int(np.argmax(lengths)), int(np.argmin(lengths))
        count = len(lengths)
        self._run_longest_with_room(room)
        self.first = list(dict.fromkeys((0, self.longest, shortest, min(1, count - 1), count // 2, count - 1)))
        whole = [torch.stack(layer) for layer in zip(*(self.plain(i) for i in self.first), strict=True)]
        self.scales = [spread(layer, model.dtype) for layer in whole]

    def _run_longest_with_room(self, room: int) -> None:
        tokens = self.prompts.tokens[self.longest]
        row = single(self.prompts, self.longest)
        longer = np.concatenate([row.tokens, np.repeat(row.tokens[-1:], room)])
        try:
            seen = observe_rows(self.model, PLAIN, [replace(row, tokens=longer)])
            if (other := next((h for h in seen.states if h.dim() != 2), None)) is not None:
                raise TypeError(f"a token's state is of shape {tuple(other.shape[1:])}, not one vector")
        except Exception as error:  # whatever an architecture raises that cannot be run, or not with text alone
            if is_out_of_memory(error):
                raise
            what = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
            raise ModelError(
                f"{self.who} gives no hidden states and logits for "
                f"{len(tokens)} tokens of text and {room} more for the answer ({what[:200]}); the probe needs both"
            ) from error

    def plain(self, i: int) -> list[torch.Tensor]:
        """States of each layer, and the logits, of one prompt run alone."""
        if i not in self.known:
            self.known[i] = self._run(PLAIN, [single(self.prompts, i)])[0]
        return self.known[i]

    def _run(self, way: Way, rows: list[Row]) -> list[list[torch.Tensor]]:
        """For each prompt of the rows its states and logits; raises ModelError where states are not numbers."""
        seen = observe_rows(self.model, way, rows)
        for states in seen.states:
            check_numbers(self.model, states)
        logits = torch.nan_to_num(seen.logits.float().cpu(), nan=0, neginf=0, posinf=0)  # masked tokens have -inf
        layers = [*(h.float() for h in seen.states), logits]
        return [list(one) for one in zip(*layers, strict=True)]

    def error(self, way: Way, rows: list[Row], chosen: set[int] | None = None) -> float:
        """How far the chosen prompts of the rows (all if None) are from their plain states; inf if it cannot run."""
        try:
            found = self._run(way, rows)
        except Exception as problem:  # whatever an architecture raises that takes no such mask, positions or hooks
            if is_out_of_memory(problem):
                raise
            return float("inf")
        order = np.concatenate([r.prompts for r in rows])
        pairs = [(one, self.plain(int(i))) for one, i in zip(found, order, strict=True) if not chosen or i in chosen]
        return max(self._difference(*pair) for pair in pairs)

    def _difference(self, ours: list[torch.Tensor], plain: list[torch.Tensor]) -> float:
        if [h.shape for h in ours] != [h.shape for h in plain]:
            return float("inf")
        each = zip(ours, plain, self.scales, strict=True)
        return max(float((a - b).pow(2).mean().sqrt() / scale) for a, b, scale in each)

    def rounding(self) -> float:
        """What embeddings changed in their last digit do."""
        with _last_digit_changed(self.model):
            return max(self.error(PLAIN, [single(self.prompts, i)]) for i in self.first[:4])

    def first_right(self, ways: list[Way], most: float, otherwise: Way = PLAIN) -> Way:
        """The first of some ways that agrees on single prompts."""
        rows = [[single(self.prompts, i)] for i in self.first[:2]]
        return next((way for way in ways if all(self.error(way, row) <= most for row in rows)), otherwise)

    def longest_rows(self, way: Way, groups: list[np.ndarray], most: float) -> tuple[int, float]:
        """Tokens that rows with a shared prefix may hold (0: none), and what sharing changes then.

        Tried on the longest row that there will be, run beside the shortest and one in the middle; where that differs
        (a window of attention by place in the row, a table of masks), rows of half the length are tried.
        """
        tokens = min(ROW_TOKENS, _positions(self.model.config) or ROW_TOKENS)
        smallest = float("inf")
        while tokens >= LEAST_ROW:
            rows = shared_rows(self.prompts, groups, tokens)
            several = sorted((r for r in rows if len(r.prompts) > 1), key=lambda r: len(r.tokens))
            if len(several) < len(rows) / 2:  # hardly any prompt shares a row: nothing to gain
                break
            longest = next(r for r in rows if self.longest in r.prompts)
            picked = [several[0], several[len(several) // 2], max(several, key=lambda r: len(r.prompts)), several[-1]]
            picked = list({int(r.prompts[0]): r for r in [*picked, longest]}.values())
            chosen = {int(r.prompts[k]) for r in picked for k in (0, len(r.prompts) // 2, -1)}
            error = self.error(replace(way, row_tokens=tokens), picked, chosen)
            if error <= most:
                return tokens, error
            smallest = min(smallest, error)
            tokens = min(tokens, len(several[-1].tokens)) // 2
        return 0, smallest

    def same_length_agrees(self, way: Way, most: float) -> bool:
        """Whether prompts of one length may run together."""
        lengths = np.array([len(tokens) for tokens in self.prompts.tokens])
        commonest = np.bincount(lengths).argmax()
        chosen = np.flatnonzero(lengths == commonest)
        chosen = chosen[:: max(1, len(chosen) // 4)][:4]
        return self.error(way, [single(self.prompts, int(i)) for i in chosen]) <= most

    def check_that_later_words_do_not_count(self, most: float) -> None:
        """Refuse a model whose state at the input sees what comes after it."""
        row = single(self.prompts, self.longest)
        after = int(row.at_input[0]) + 1
        tail = len(row.tokens) - after
        if not tail:
            return
        changed = row.tokens.copy()
        changed[after:] = np.resize(row.tokens[max(0, after - 1 - tail) : after][::-1], tail)
        if (changed[after:] == row.tokens[after:]).all():
            return
        found = self._run(PLAIN, [replace(row, tokens=changed)])[0]
        plain = self.plain(self.longest)
        if self._difference([*found[:-1], plain[-1]], plain) > most:
            raise ModelError(
                f"{self.who}: its state at a word depends on the words after it, so it is no causal "
                "language model as configured (is_decoder in its config.json may be missing)"
            )

    def begins_with_the_embedding(self, most: float) -> bool:
        """Whether layer 0 at the input is the same after other words, as an embedding is and a block's output is not.

        Some architectures (Mamba, RWKV) hand out states after each block alone.
        """
        row = single(self.prompts, self.longest)
        at = int(row.at_input[0])
        changed = row.tokens.copy()
        changed[1:at] = changed[1:at][::-1]  # the first one stays: it may be the beginning of the sequence
        found = self._run(PLAIN, [replace(row, tokens=changed)])[0][0]
        return float((found - self.plain(self.longest)[0]).pow(2).mean().sqrt() / self.scales[0]) <= most

    def check_repeatable(self, most: float) -> None:
        """Refuse a model that gives other states the second time, after other prompts."""
        again = self._run(PLAIN, [single(self.prompts, 0)])[0]
        if self._difference(again, self.plain(0)) > most:
            raise ModelError(
                f"{self.who} gives other states for the same prompt a second time: it draws at random or remembers "
                "earlier prompts, and cannot be observed"
            )


def check_numbers(model: Loaded, states: torch.Tensor) -> None:
    """Refuse states (..., D) that hold an infinity or no number."""
    if torch.isfinite(states).all():
        return
    precision = str(model.dtype).removeprefix("torch.")
    remedy = {
        torch.float16: "use bfloat16 or float32",
        torch.bfloat16: "use float32, or download the weights again",
    }.get(model.dtype, "its weights hold no numbers; download them again")
    raise ModelError(f"{model.name}: states are not numbers in {precision}; {remedy}")


def single(prompts: Prompts, i: int) -> Row:
    """The row of one prompt alone."""
    return shared_rows(prompts, [np.array([i])])[0]


def spread(layer: torch.Tensor, dtype: torch.dtype) -> float:
    """How far states (prompts, D) lie apart, or, where they hardly do, a small part of their own size."""
    apart = (layer - layer.mean(0)).pow(2).mean().sqrt()
    return float(torch.maximum(apart, torch.finfo(dtype).eps ** 0.5 * layer.pow(2).mean().sqrt()).clamp_min(1e-9))


@contextmanager
def _last_digit_changed(model: Loaded):
    """Embeddings are multiplied by 1 plus or minus half the precision's epsilon, at random with a fixed seed."""
    generator = torch.Generator().manual_seed(0)

    def change(_module, _arguments, output: torch.Tensor) -> torch.Tensor:
        sign = torch.randint(0, 2, output.shape, generator=generator).to(output.device) * 2 - 1
        wide = output.float() if output.device.type == "mps" else output.double()  # mps has no float64
        return (wide * (1 + sign * torch.finfo(output.dtype).eps / 2)).to(output.dtype)

    hook = model.whole.get_input_embeddings().register_forward_hook(change)
    try:
        yield
    finally:
        hook.remove()
