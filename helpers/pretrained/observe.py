"""One forward pass of a pretrained model over rows of prompts, in the way that was found right for it.

The whole model runs, so that answers are its own, whatever its head does to states or logits. Two things are spared:
blocks are watched as they run, so that a layer keeps one position a prompt; and the last linear layer sees only the
positions that are answered. Prompts that share a prefix run as one row, each tail seeing the prefix and itself at the
positions it would have alone. All three are right for some architectures only: `trial` says for which.
"""

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch

from helpers.pretrained.loading import Loaded
from helpers.pretrained.prompts import Row, pad


@dataclass(frozen=True)
class Way:
    """How a model is observed.

    Attributes:
        row_tokens: tokens that a row of prompts with a shared prefix may hold; 0: one prompt a row.
        batched: whether prompts of one length may run together, where none share a row.
        blocks: name of the list of blocks that are watched; None: the model hands out every position of every layer.
        top: name of the module around them, whose output is the last layer.
        head_cut: whether the last linear layer may see the answers' positions alone.
    """

    row_tokens: int = 0
    batched: bool = False
    blocks: str | None = None
    top: str = ""
    head_cut: bool = False


PLAIN = Way()  # one prompt at a time with output_hidden_states=True: what every other way must agree with


@dataclass(frozen=True)
class Seen:
    """What a pass shows of M prompts, in the order of the rows.

    Attributes:
        states: for each layer (M, D) on the CPU, in the model's precision; layer 0 is the embedding output. D may
            differ between layers.
        logits: (M, V) after each prompt, on the model's device.
    """

    states: list[torch.Tensor]
    logits: torch.Tensor


def observe_rows(model: Loaded, way: Way, rows: list[Row]) -> Seen:
    """States at the inputs of every prompt of the rows, and logits after each prompt.

    Args:
        rows: of any lengths where prefixes are shared; else of one prompt each, and of one length.
    """
    length = max(len(r.tokens) for r in rows)
    inputs = {"input_ids": _padded([r.tokens for r in rows], length, 0, model.device)}
    if way.row_tokens:
        inputs["position_ids"] = positions = _padded([r.positions for r in rows], length, 0, model.device)
        tails = _padded([r.tail for r in rows], length, -2, model.device)
        inputs["attention_mask"] = _masks(model.config, positions, tails, model.dtype)
    row = np.concatenate([[i] * len(r.prompts) for i, r in enumerate(rows)])
    at_input = np.concatenate([r.at_input for r in rows])
    at_answer = np.concatenate([r.at_answer for r in rows])
    return _forward(model, way, row, at_input, at_answer, inputs)


def _padded(values: list[np.ndarray], length: int, with_: int, device: torch.device) -> torch.Tensor:
    return torch.tensor(np.stack([pad(v, length, with_) for v in values]), device=device)


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


def _forward(model: Loaded, way: Way, row, at_input, at_answer, inputs: dict) -> Seen:
    """States of every layer at (row, at_input), and the logits at (row, at_answer)."""
    options = {"use_cache": False} if model.takes("use_cache") else {}
    kept: list[torch.Tensor] = []

    def keep(_, arguments, named) -> None:
        kept.append((arguments[0] if arguments else named["hidden_states"])[row, at_input].cpu())

    def keep_last(_, _arguments, output) -> None:
        kept.append(getattr(output, "last_hidden_state", output[0])[row, at_input].cpu())

    def cut(_, arguments) -> tuple:
        return (arguments[0][row, at_answer][:, None], *arguments[1:])  # (M, 1, D): one position for each prompt

    _forget_lengths(model.whole)
    with ExitStack() as hooks:
        if way.blocks:
            for block in model.whole.get_submodule(way.blocks):
                hooks.callback(block.register_forward_pre_hook(keep, with_kwargs=True).remove)
            hooks.callback(model.whole.get_submodule(way.top).register_forward_hook(keep_last).remove)
        if way.head_cut:
            hooks.callback(model.whole.get_output_embeddings().register_forward_pre_hook(cut).remove)
        output = model.whole(**inputs, **options, **({} if way.blocks else {"output_hidden_states": True}))
    if not way.blocks:
        kept = [h[row, at_input].cpu() for h in output.hidden_states]
    return Seen(kept, output.logits[:, 0] if way.head_cut else output.logits[row, at_answer])


def _forget_lengths(whole: torch.nn.Module) -> None:
    """Undo what rotary positions that grow with the prompt (dynamic scaling) remember of a longer one before."""
    for module in whole.modules():
        original = getattr(module, "original_max_seq_len", None)
        if original is None or getattr(module, "max_seq_len_cached", original) == original:
            continue
        for name in [n for n in vars(module) | module._buffers if n.endswith("original_inv_freq")]:
            prefix = name.removesuffix("original_inv_freq")
            there = getattr(module, f"{prefix}inv_freq").device
            module.register_buffer(f"{prefix}inv_freq", getattr(module, name).to(there), persistent=False)
            setattr(module, f"{prefix}max_seq_len_cached", original)
        module.max_seq_len_cached = original
