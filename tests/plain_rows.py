"""The rows that transformers would take: one instance a row, as a reference for shared prefixes."""

import torch

from helpers.gpt import batches


def plain_rows(rows: batches.Rows, chosen, device="cpu"):
    """Every instance [I; x; y] as a row of its own, as transformers would take it; padded with -100 labels."""
    sequences = [
        [*rows.symbols[r][: rows.lengths[r]], rows.inputs[r, j], rows.outputs[r, j]]
        for r in chosen
        for j in range(rows.inputs.shape[1])
    ]
    longest = max(map(len, sequences))
    tokens = torch.tensor([s + [0] * (longest - len(s)) for s in map(list, sequences)])
    attention = torch.tensor([[1] * len(s) + [0] * (longest - len(s)) for s in sequences])
    at_input = torch.tensor([len(s) - 2 for s in sequences])
    return tokens, attention, at_input
