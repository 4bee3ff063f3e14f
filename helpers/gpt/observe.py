"""Hidden states at the input token, all layers, and the model's answers (section 3.2).

The position is that of x, the last token before the output. Layer 0 is the embedding output, layers 1..n
are block outputs, the last after the final layer norm, as `output_hidden_states` returns them.
"""

from typing import NamedTuple

import numpy as np
import torch

from helpers.device import Device
from helpers.gpt import batches
from helpers.gpt import model as gpt
from helpers.gpt.batches import Rows

ROWS_PER_BATCH = 32


class Observation(NamedTuple):
    """What a model does on a set of K instances."""

    states: np.ndarray  # (layers, K, D) float32
    predictions: np.ndarray  # (K,) most probable next symbol at the input
    correct: np.ndarray  # (K,) bool


def observe(model, rows: Rows, where: Device, half: gpt.HalfWeights | None = None, part=None) -> Observation:
    """Hidden states and answers for every instance of `rows`, in the order of the frame behind it.

    Args:
        model: on `where.device`; dropout is off during the call.
        rows: the instances.
        where: device and precision; float32 on CUDA means no autocast.
        half: see `model.HalfWeights`.
        part: instruction numbers to observe instead of all; instances are then in the order of these.
    """
    order = np.arange(len(rows)) if part is None else np.asarray(part)
    by_length = np.argsort(rows.lengths[order], kind="stable")  # little padding
    states, answers = [], []
    training = model.training
    model.eval()
    parts = [(order[by_length[i : i + ROWS_PER_BATCH]],) for i in range(0, len(order), ROWS_PER_BATCH)]
    with torch.no_grad(), autocast(where):
        for batch in batches.ahead(rows, parts, where.device):
            output = gpt.forward(model, batch, layers=True, half=half)
            states.append(torch.stack(output.layers).float().flatten(1, 2))  # (layers, B x M, D)
            answers.append(gpt.logits(model, output.hidden[batch.inputs]).argmax(-1).flatten())  # (B x M,)
    model.train(training)
    # The instance that each observed state is of: by the frame, or counted through the rows asked for.
    instance = rows.instance if part is None else np.arange(rows.inputs[order].size).reshape(len(order), -1)
    back = np.argsort(instance[by_length], axis=None)
    truth = np.empty(instance.size, dtype=np.int64)
    truth[instance] = rows.outputs[order]
    predictions = torch.cat(answers).cpu().numpy()[back]
    return Observation(torch.cat(states, 1).cpu().numpy()[:, back], predictions, predictions == truth)


def autocast(where: Device):
    """Autocast to bfloat16 on CUDA; on the CPU `model.HalfWeights` does it."""
    enabled = where.device.type == "cuda" and where.bfloat16
    return torch.autocast(where.device.type, torch.bfloat16, enabled=enabled)
