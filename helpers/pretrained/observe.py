"""One forward pass of a pretrained model over rows of prompts, and whether sharing prefixes changes anything.

Each tail of a row sees the prefix and itself at the positions it would have alone. Before any long work, a few prompts
are run both ways; where the results differ (an architecture that takes no such mask), prompts run one a row. The
language-model head sees one position a prompt.
"""

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from helpers.pretrained.loading import Loaded
from helpers.pretrained.prompts import Prompts, Row, pad, shared_rows

# Sharing prefixes may change states by this many times what rounding alone does, and rounding itself must be small.
TOLERANCE = 4
MOST_ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 0.2, torch.float16: 0.05}


def observe_rows(model: Loaded, rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """States at the inputs of every prompt of the rows, and the most probable token after each prompt.

    Returns:
        (layers, prompts, D) in the model's precision, on the CPU, in the order of the rows; (prompts,).
    """
    length = max(len(r.tokens) for r in rows)
    ids = torch.tensor(np.stack([pad(r.tokens, length, 0) for r in rows]), device=model.device)
    positions = torch.tensor(np.stack([pad(r.positions, length, 0) for r in rows]), device=model.device)
    tails = torch.tensor(np.stack([pad(r.tail, length, -2) for r in rows]), device=model.device)
    mask = _masks(model.body.config, positions, tails, next(model.body.parameters()).dtype)
    row = np.concatenate([[i] * len(r.prompts) for i, r in enumerate(rows)])
    at_input = np.concatenate([r.at_input for r in rows])
    at_answer = np.concatenate([r.at_answer for r in rows])
    return _forward(model, row, at_input, at_answer, input_ids=ids, attention_mask=mask, position_ids=positions)


def _masks(config, positions: torch.Tensor, tails: torch.Tensor, dtype: torch.dtype):
    """Additive attention masks (B, 1, S, S): a token sees the prefix before it and its own tail before it."""
    query, key = positions[:, :, None], positions[:, None, :]
    same = tails[:, :, None] == tails[:, None, :]
    prefix = tails[:, None, :] == -1
    order = torch.arange(positions.shape[1], device=positions.device)
    seen = (prefix | same) & (order[:, None] >= order[None, :])
    full = _additive(seen, dtype)
    types = set(getattr(config, "layer_types", None) or [])
    window = getattr(config, "sliding_window", None)
    near = _additive(seen & (query - key < window), dtype) if window else full
    if "sliding_attention" in types:
        return {"full_attention": full, "sliding_attention": near}
    return near if window and getattr(config, "use_sliding_window", True) else full


def _additive(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill(~seen, torch.finfo(dtype).min)[:, None]


def observe_plainly(model: Loaded, prompts: Prompts, chosen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """The same as `observe_rows`, one prompt a row, padded on the right, with the plain attention mask."""
    sequences = [prompts.tokens[i] for i in chosen]
    length = max(map(len, sequences))
    ids = torch.tensor(np.stack([pad(np.array(s), length, 0) for s in sequences]), device=model.device)
    mask = torch.tensor([[1] * len(s) + [0] * (length - len(s)) for s in sequences], device=model.device)
    row, last = np.arange(len(chosen)), np.array([len(s) - 1 for s in sequences])
    return _forward(model, row, prompts.at_input[chosen], last, input_ids=ids, attention_mask=mask)


def _forward(model: Loaded, row, at_input, at_answer, **inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """States of every layer at (row, at_input), and the most probable token after (row, at_answer).

    Blocks are watched as they run, so that a layer keeps one position a prompt and not the whole row.
    """
    if model.blocks is None:
        output = model.body(**inputs, use_cache=False, output_hidden_states=True)
        kept = [h[row, at_input] for h in output.hidden_states]
    else:
        kept = []

        def keep(_, arguments, named) -> None:
            kept.append((arguments[0] if arguments else named["hidden_states"])[row, at_input])

        with ExitStack() as hooks:
            for block in model.blocks:
                hooks.callback(block.register_forward_pre_hook(keep, with_kwargs=True).remove)
            output = model.body(**inputs, use_cache=False)
        kept.append(output.last_hidden_state[row, at_input])
    states = torch.stack([h.cpu() for h in kept])
    return states, model.head(output.last_hidden_state[row, at_answer]).argmax(-1).cpu()


def watching_is_exact(model: Loaded, prompts: Prompts) -> bool:
    """Whether watching the blocks gives the states that `output_hidden_states=True` gives, on one prompt."""
    if model.blocks is None:
        return False
    watched, plain = (observe_plainly(m, prompts, np.array([0]))[0] for m in (model, replace(model, blocks=None)))
    return watched.shape == plain.shape and torch.allclose(watched, plain, rtol=1e-3, atol=1e-3 * float(plain.std()))


@dataclass(frozen=True)
class SharingCheck:
    """What sharing prefixes changes in states, and what rounding alone does, relative to how far states lie apart.

    Attributes:
        error: of shared prefixes; inf where the architecture refuses them.
        rounding: of what must not matter: padding in a batch, our own masks and positions around single prompts, and
            embeddings changed in their last digit.
        exact: whether the first is no more than the second explains.
    """

    error: float
    rounding: float
    exact: bool


def check_sharing(model: Loaded, prompts: Prompts, groups: list[np.ndarray]) -> SharingCheck:
    """Observe a few prompts of the first, the middle and the last instruction one by one, and in the other ways.

    Differences are root mean squares over prompts, at the worst layer.
    """
    chosen = [groups[i][:3] for i in (0, len(groups) // 2, -1)]
    singles = [np.array([i]) for group in chosen for i in group]
    alone = torch.cat([observe_plainly(model, prompts, one)[0] for one in singles], 1).float()
    apart = (alone - alone.mean(1, keepdim=True)).pow(2).mean((1, 2)).sqrt().clamp_min(1e-9)

    def error(states: torch.Tensor) -> float:
        return float(((alone - states.float()).pow(2).mean((1, 2)).sqrt() / apart).max())

    def by_rows(of: list[np.ndarray]) -> float:
        try:
            return error(torch.cat([observe_rows(model, [row])[0] for row in shared_rows(prompts, of)], 1))
        except Exception as problem:  # whatever an architecture raises that takes no such mask or positions
            if is_out_of_memory(problem):
                raise
            return float("inf")

    padded = error(observe_plainly(model, prompts, np.concatenate(chosen))[0])
    with _last_digit_changed(model):
        changed = error(torch.cat([observe_plainly(model, prompts, one)[0] for one in singles], 1))
    shared, rounding = by_rows(chosen), max(padded, by_rows(singles), changed)
    most = MOST_ROUNDING.get(next(model.body.parameters()).dtype, 1e-3)
    return SharingCheck(shared, rounding, rounding <= most and shared <= max(TOLERANCE * rounding, 1e-5))


@contextmanager
def _last_digit_changed(model: Loaded):
    """Embeddings are multiplied by 1 plus or minus half the precision's epsilon, at random with a fixed seed."""
    generator = torch.Generator().manual_seed(0)

    def change(_module, _arguments, output: torch.Tensor) -> torch.Tensor:
        sign = torch.randint(0, 2, output.shape, generator=generator).to(output.device) * 2 - 1
        return (output.double() * (1 + sign * torch.finfo(output.dtype).eps / 2)).to(output.dtype)

    hook = model.body.get_input_embeddings().register_forward_hook(change)
    try:
        yield
    finally:
        hook.remove()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; a CPU's allocator says so in words alone."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        words in str(error) for words in ("allocate memory", "not enough memory", "out of memory")
    )
