"""Batches in which the instances of one instruction share its prefix.

The M instances [I; x; y] of an instruction differ only in x and y. Here they are one row `I x1 .. xM`: every x attends
to I and to itself and takes the position after I. Loss and gradients equal those of M rows, with a third of the tokens.

A row with instruction `ab`, inputs X and Y and their outputs P and Q:

    tokens       a     b     X     Y
    positions    0     1     2     2
    attends to   a     a b   a b X a b Y
    predicts     b     X Y   P     Q
    weight       2     1 1   1     1       in how many of the two instances the prediction occurs

A batch packs the tokens of its rows into one list, without padding; `slots` says where each stands in the padded grid
that attention needs.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from helpers.task.synthetic import Dataset

# Packed tokens and padded rows come in few sizes: oneDNN compiles a kernel for each new shape in bfloat16.
TOKEN_STEP = 32
LENGTH_STEP = 8
# A CUDA graph knows one shape: fewer token counts, and all else fixed by them.
FIXED_TOKEN_STEP = 64
TOGETHER = 512  # batches that a GPU is given in one copy: an epoch of the paper's data, some 50 MB


class Batch(NamedTuple):
    """B instructions with M inputs each, N packed tokens, padded rows of S tokens, T predictions."""

    tokens: Tensor  # (N,) symbol numbers
    positions: Tensor  # (N,) position of each token in its instance
    slots: Tensor  # (N,) index of each token in the padded grid; spare rows after the B take the padding
    mask: Tensor  # (B + spare rows, S, S) bool: query may attend to key
    inputs: Tensor  # (B, M) index of each input x among the tokens
    outputs: Tensor  # (B, M) symbol that each x must predict
    predictors: Tensor  # (T,) index of the predicting token, for the loss over whole sequences
    targets: Tensor  # (T,) symbol to predict
    weights: Tensor  # (T,) number of instances that the prediction stands for

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return Batch(*(t.to(device) for t in self))


class Rows:
    """The instructions of a set of instances, each with all of its inputs, as arrays ready to batch.

    Args:
        instances: columns instruction_id, instruction, input and output.
        number: token number of each symbol.

    Attributes:
        instance: (R, M) row of each instance in the frame that this was made from.
        symbols: (R, longest) symbol numbers of each instruction, 0 beyond its length.
        inputs, outputs: (R, M) symbol numbers.
        lengths: (R,) symbols of each instruction.

    Raises:
        ValueError: instructions of the frame have different numbers of inputs.
    """

    def __init__(self, instances: pd.DataFrame, number: dict[str, int]) -> None:
        frame = instances.reset_index(drop=True)
        groups = frame.groupby("instruction_id", sort=True).indices
        counts = {len(members) for members in groups.values()}
        if len(counts) > 1:
            raise ValueError(f"instructions must all have the same number of inputs, found {sorted(counts)}")
        self.instance = np.array([np.sort(members) for members in groups.values()])
        self.inputs, self.outputs = (
            frame[column].map(number).to_numpy(dtype=np.int64)[self.instance] for column in ("input", "output")
        )
        texts = frame["instruction"].to_numpy()[self.instance[:, 0]]
        self.lengths = np.array([len(text) for text in texts])
        self.symbols = np.zeros((len(texts), self.lengths.max()), dtype=np.int64)
        for row, text in enumerate(texts):
            self.symbols[row, : len(text)] = [number[symbol] for symbol in text]

    def __len__(self) -> int:
        """Number of instructions R."""
        return len(self.lengths)

    def batch(self, rows: np.ndarray, columns: np.ndarray | None = None, fixed: bool = False) -> Batch:
        """Pack the given instructions, in this order.

        Args:
            rows: (B,) instructions; the same one may stand in several rows.
            columns: (B, M) which of each instruction's inputs; all of them if None.
            fixed: add padding until all shapes follow from B and N, which then comes in few sizes. What is added weighs
                nothing: loss and gradients stay.
        """
        inputs, outputs = self.inputs[rows], self.outputs[rows]  # (B, M)
        if columns is not None:
            inputs, outputs = (np.take_along_axis(a, columns, 1) for a in (inputs, outputs))
        lay = _Layout.of(self.lengths[rows], inputs.shape[1], self.lengths.max() if fixed else None)
        tokens = np.zeros(lay.padded, dtype=np.int64)
        tokens[: len(lay.row)] = np.hstack([self.symbols[rows], inputs])[lay.row, lay.source(self.symbols.shape[1])]
        positions = np.zeros(lay.padded, dtype=np.int64)
        positions[: len(lay.row)] = np.minimum(lay.column, lay.lengths[lay.row])
        predictions = lay.predictions(tokens, outputs)
        arrays = (tokens, positions, *lay.grid(), lay.at_inputs, outputs, *predictions)
        return Batch(*(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays))


class _Layout(NamedTuple):
    """Where the n tokens of B rows lie: each row is its instruction, then its M inputs."""

    lengths: np.ndarray  # (B,) symbols of each instruction
    row: np.ndarray  # (n,) row of each token
    column: np.ndarray  # (n,) its place in the row
    at_inputs: np.ndarray  # (B, M) index of each input among the tokens
    padded: int  # tokens with padding
    length: int  # S, of a padded row
    spare: int  # padded rows for the padding
    predicted: int  # T, predictions with padding

    @classmethod
    def of(cls, lengths: np.ndarray, inputs: int, longest: int | None = None) -> "_Layout":
        """The layout of rows of these lengths; with `longest`, that of all, shapes are fixed by B and N alone."""
        totals = lengths + inputs
        ends = np.cumsum(totals)
        row = np.repeat(np.arange(len(lengths)), totals)
        column = np.arange(ends[-1]) - (ends - totals)[row]
        at_inputs = (ends - inputs)[:, None] + np.arange(inputs)
        n = int(ends[-1])
        padded = _round_up(n, FIXED_TOKEN_STEP if longest else TOKEN_STEP)
        length = _round_up(int(longest or lengths.max()) + inputs, LENGTH_STEP)
        spare = max(1, -(-(FIXED_TOKEN_STEP if longest else padded - n) // length))
        predicted = (padded if longest else n) + len(lengths) * (inputs - 1)
        return cls(lengths, row, column, at_inputs, padded, length, spare, predicted)

    def source(self, longest: int) -> np.ndarray:
        """(n,) column of each token where instructions padded to `longest` stand beside their inputs."""
        beyond = self.column - self.lengths[self.row]
        return np.where(beyond < 0, self.column, longest + beyond)

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """The slots (N,) of the tokens in a padded grid, and its mask (B + spare, S, S); padding has the spare rows."""
        padding = np.arange(self.padded - len(self.row))
        slots = [self.row * self.length + self.column, len(self.lengths) * self.length + padding]
        return np.concatenate(slots), np.stack([_mask(self.length, k) for k in [*self.lengths, *[0] * self.spare]])

    def predictions(self, tokens: np.ndarray, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Predictors, targets and weights (T,): padding, within instructions, from their ends to the inputs, to the
        outputs."""
        flat, m = self.at_inputs.ravel(), self.at_inputs.shape[1]
        inside = np.flatnonzero(self.column + 1 < self.lengths[self.row])
        last = np.repeat(self.at_inputs[:, 0] - 1, m)
        none = np.zeros(self.predicted - len(inside) - 2 * len(flat), dtype=np.int64)
        predictors = np.concatenate([none, inside, last, flat])
        targets = np.concatenate([none, tokens[inside + 1], tokens[flat], outputs.ravel()])
        weights = np.concatenate([none, np.full(len(inside), m), np.ones(2 * len(flat))]).astype(np.float32)
        return predictors, targets, weights


def epoch_order(rows: Rows, size: int, seed: int, epoch: int, whole: bool = True) -> list[tuple]:
    """What the batches of an epoch hold, as arguments of Rows.batch: a permutation fixed by seed and epoch, cut up.

    Args:
        size: instances a batch; a multiple of an instruction's inputs if `whole`.
        whole: batches of instructions with all of their inputs; else of instances shuffled one by one.
    """
    count, m = rows.inputs.shape
    if whole:
        order = np.random.default_rng([seed, epoch]).permutation(count)
        return [(order[i : i + size // m],) for i in range(0, count, size // m)]
    order = np.random.default_rng([seed, epoch]).permutation(count * m)
    parts = (order[i : i + size] for i in range(0, count * m, size))
    return [(part // m, (part % m)[:, None]) for part in parts]


def ahead(rows: Rows, parts: list[tuple], device: torch.device, fixed: bool = False) -> Iterator[Batch]:
    """The batches of `parts` (arguments of Rows.batch, as `fixed` is) on a device, in order.

    A GPU has TOGETHER of them before the first is used, so that no step waits for its batch. On the CPU each is made
    when its turn comes.
    """
    if device.type == "cpu":
        yield from (rows.batch(*part, fixed=fixed) for part in parts)
        return
    for start in range(0, len(parts), TOGETHER):
        yield from moved([rows.batch(*part, fixed=fixed) for part in parts[start : start + TOGETHER]], device)


def moved(made: list[Batch], device: torch.device) -> list[Batch]:
    """Batches on a device, by one copy for each of their fields, which a GPU takes from page-locked memory."""
    fields = []
    for tensors in zip(*made, strict=True):
        flat = torch.cat([t.reshape(-1) for t in tensors])
        if device.type == "cuda":
            flat = flat.pin_memory()
        parts = flat.to(device, non_blocking=device.type == "cuda").split([t.numel() for t in tensors])
        fields.append([part.view(t.shape) for part, t in zip(parts, tensors, strict=True)])
    return [Batch(*of_one) for of_one in zip(*fields, strict=True)]


def train_and_evaluation_rows(dataset: Dataset) -> dict[str, Rows]:
    """Rows of the train, subset and validation splits, over one vocabulary."""
    return {name: Rows(dataset.split(name), dataset.number) for name in ("train", "subset", "validation")}


_MASKS: dict[tuple[int, int], np.ndarray] = {}


def _mask(length: int, instruction: int) -> np.ndarray:
    """(S, S): causal within the instruction; beyond it every token sees the instruction and itself."""
    if (length, instruction) not in _MASKS:
        query, key = np.arange(length)[:, None], np.arange(length)[None]
        _MASKS[length, instruction] = (query == key) | ((key <= query) & (key < instruction))
    return _MASKS[length, instruction]


def _round_up(n: int, step: int) -> int:
    return -(-n // step) * step
