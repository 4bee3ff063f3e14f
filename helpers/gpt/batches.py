"""Batches in which the instances of one instruction share its prefix.

The M instances [I; x; y] of an instruction differ only in x and y. Here they are one row
`I x1 .. xM`: every x attends to I and to itself and takes the position after I. Loss and gradients equal
those of M rows: the tokens of I weigh M, and the last one has M targets (each x). Tokens fall about
threefold. A batch packs its rows into one list of tokens; `slots` says where each stands in a padded grid.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from helpers.task.synthetic import Dataset

# Packed tokens and padded rows come in few sizes: oneDNN compiles a kernel for each new shape in bfloat16.
TOKEN_STEP = 32
LENGTH_STEP = 8


class Batch(NamedTuple):
    """B instructions with M inputs each, N packed tokens, padded rows of S tokens, T predictions."""

    tokens: Tensor  # (N,) symbol numbers
    positions: Tensor  # (N,) position of each token in its instance
    slots: Tensor  # (N,) index of each token in the (B+1) x S grid; its last row takes the padding
    mask: Tensor  # (B+1, S, S) bool: query may attend to key
    inputs: Tensor  # (B, M) index of each input x among the tokens
    outputs: Tensor  # (B, M) symbol that each x must predict
    predictors: Tensor  # (T,) index of the predicting token, for the loss over whole sequences
    targets: Tensor  # (T,) symbol to predict
    weights: Tensor  # (T,) number of instances that the prediction stands for

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device; copies do not wait where memory is pinned."""
        return Batch(*(t.to(device, non_blocking=True) for t in self))

    def pinned(self) -> "Batch":
        """The same batch in page-locked memory, from which a copy to a GPU does not wait."""
        return Batch(*(t.pin_memory() for t in self))


class Rows:
    """The instructions of a set of instances, each with all of its inputs, as arrays ready to batch.

    Attributes:
        instance: (R, M) row of each instance in the frame that this was made from.
        inputs, outputs: (R, M) symbol numbers.
        lengths: (R,) symbols of each instruction.

    Raises:
        ValueError: instructions of the frame have different numbers of inputs.
    """

    def __init__(self, instances, vocabulary: str) -> None:
        number = {symbol: i for i, symbol in enumerate(vocabulary)}
        frame = instances.reset_index(drop=True)
        groups = frame.groupby("instruction_id", sort=True).indices
        counts = {len(members) for members in groups.values()}
        if len(counts) > 1:
            raise ValueError(f"instructions must all have the same number of inputs, found {sorted(counts)}")
        self.instance = np.array([np.sort(members) for members in groups.values()])
        self.inputs = _numbers(frame["input"], number)[self.instance]
        self.outputs = _numbers(frame["output"], number)[self.instance]
        texts = frame["instruction"].to_numpy()[self.instance[:, 0]]
        self.lengths = np.array([len(text) for text in texts])
        self.symbols = np.zeros((len(texts), self.lengths.max()), dtype=np.int64)
        for row, text in enumerate(texts):
            self.symbols[row, : len(text)] = [number[symbol] for symbol in text]

    def __len__(self) -> int:
        """Number of instructions R."""
        return len(self.lengths)

    def batch(self, rows: np.ndarray) -> Batch:
        """Pack the given instructions, in this order."""
        lengths, m = self.lengths[rows], self.inputs.shape[1]
        totals = lengths + m
        starts = np.concatenate([[0], np.cumsum(totals)])
        n = int(starts[-1])
        padded = _round_up(n, TOKEN_STEP)
        length = _round_up(int(totals.max()), LENGTH_STEP)
        row = np.repeat(np.arange(len(rows)), totals)  # (N,)
        column = np.arange(n) - starts[row]
        is_input = column >= lengths[row]
        tokens = np.zeros(padded, dtype=np.int64)
        tokens[:n] = np.where(
            is_input,
            self.inputs[rows[row], np.where(is_input, column - lengths[row], 0)],
            self.symbols[rows[row], np.where(is_input, 0, column)],
        )
        positions = np.zeros(padded, dtype=np.int64)
        positions[:n] = np.minimum(column, lengths[row])
        # Padding tokens share the slots of one spare row, as many columns as are needed.
        spare = max(1, -(-(padded - n) // length))
        slots = np.concatenate([row * length + column, len(rows) * length + np.arange(padded - n)])
        mask = np.stack([_mask(length, k) for k in lengths] + [_mask(length, 0)] * spare)
        inputs = starts[:-1, None] + lengths[:, None] + np.arange(m)
        predictors, targets, weights = self._predictions(rows, starts, tokens, row, column, inputs)
        arrays = (tokens, positions, slots, mask, inputs, self.outputs[rows], predictors, targets, weights)
        return Batch(*(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays))

    def _predictions(self, rows, starts, tokens, row, column, inputs):
        lengths, m = self.lengths[rows], inputs.shape[1]
        inside = np.flatnonzero(column + 1 < lengths[row])  # instruction symbol -> the next one
        last = np.repeat(starts[:-1] + lengths - 1, m)  # last instruction symbol -> each input
        flat = inputs.ravel()  # input -> its output
        predictors = np.concatenate([inside, last, flat])
        targets = np.concatenate([tokens[inside + 1], tokens[flat], self.outputs[rows].ravel()])
        weights = np.concatenate([np.full(len(inside), m), np.ones(2 * len(flat))]).astype(np.float32)
        return predictors, targets, weights


def epoch_order(count: int, size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Row numbers of each step of an epoch: a permutation fixed by seed and epoch, cut into `size`."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return [order[i : i + size] for i in range(0, count, size)]


def train_and_evaluation_rows(dataset: Dataset) -> dict[str, Rows]:
    """Rows of the train, subset and validation splits, over one vocabulary."""
    return {name: Rows(dataset.split(name), dataset.vocabulary) for name in ("train", "subset", "validation")}


_MASKS: dict[tuple[int, int], np.ndarray] = {}


def _mask(length: int, instruction: int) -> np.ndarray:
    """(S, S): causal within the instruction; beyond it every token sees the instruction and itself."""
    if (length, instruction) not in _MASKS:
        query, key = np.arange(length)[:, None], np.arange(length)[None]
        _MASKS[length, instruction] = (query == key) | ((key <= query) & (key < instruction))
    return _MASKS[length, instruction]


def _round_up(n: int, step: int) -> int:
    return -(-n // step) * step


def _numbers(symbols, number: dict[str, int]) -> np.ndarray:
    return symbols.map(number).to_numpy(dtype=np.int64)
