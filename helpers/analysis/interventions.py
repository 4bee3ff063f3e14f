"""Is the cluster used? Move states from their task's place to another task's, and see what the model answers.

For a validation instance that the model solves, another task with the same input and another output is drawn.
At one layer, the state at the input is shifted; the layers above run on. Counted is how often the answer becomes
the other task's. The paper does not ask this.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from helpers.device import Device
from helpers.gpt import model as gpt
from helpers.gpt import observe
from helpers.gpt.runs import Run

# What is added to a state. Differences of mean training states: of (task, input) pairs; of tasks, each state less the
# mean of its input; and a random direction as long as the first.
DIRECTIONS = ("task_and_input", "task", "random")
CPU = Device(torch.device("cpu"), "float32", "exact enough for a count, and on every machine")


@dataclass(frozen=True)
class _Moves:
    """For every instance of the validation rows (R, M): where from, where to, and the answers expected."""

    here: np.ndarray  # task
    there: np.ndarray  # another task with the same input; -1 if there is none
    answer: np.ndarray  # its output there


def moves(run: Run, which: str = "best", draws: int = 3, seed: int = 0) -> pd.DataFrame:
    """Answers after moving states, by layer and direction.

    Args:
        which: best or last, the epoch whose weights are used.
        draws: other tasks drawn for each instance.

    Returns:
        width, seed, layer, direction, became_other, stayed, instances: shares of the moved instances, and their number.
    """
    model = run.model(which)
    train, rows = run.rows["train"], run.rows["validation"]
    seen = observe.observe(model, train, CPU).states  # (layers, instances, D)
    means = _means(seen, run)
    solved = observe.observe(model, rows, CPU).correct[rows.instance]  # (R, M)
    rng = np.random.default_rng(seed)
    counts: dict[tuple[int, str], list] = {}
    for _ in range(draws):
        chosen = _choose(run, rng)
        valid = solved & (chosen.there >= 0)
        for layer in range(len(seen)):
            for direction in DIRECTIONS:
                shift = _shift(means, layer, direction, rows.inputs, chosen, rng)
                answers = _answers(model, rows, layer, shift)
                found = counts.setdefault((layer, direction), [0, 0, 0])
                found[0] += int((answers == chosen.answer)[valid].sum())
                found[1] += int((answers == rows.outputs)[valid].sum())
                found[2] += int(valid.sum())
    return pd.DataFrame(
        [
            run.point
            | {"layer": layer, "direction": direction, "became_other": other / max(n, 1), "stayed": same / max(n, 1),
               "instances": n}
            for (layer, direction), (other, same, n) in counts.items()
        ]
    )  # fmt: skip


@dataclass(frozen=True)
class _Means:
    pair: dict[tuple[int, int], np.ndarray]  # (task, input) -> (layers, D)
    task: dict[int, np.ndarray]  # task -> (layers, D), of states less their input's mean


def _means(seen: np.ndarray, run: Run) -> _Means:
    frame = run.dataset.split("train")
    number = {symbol: i for i, symbol in enumerate(run.dataset.vocabulary)}
    inputs = frame["input"].map(number).to_numpy()
    pair = {
        (int(task), int(x)): seen[:, members].mean(1)
        for (task, x), members in frame.assign(x=inputs).groupby(["task", "x"]).indices.items()
    }
    centred = seen.copy()
    for x in np.unique(inputs):
        centred[:, inputs == x] -= centred[:, inputs == x].mean(1, keepdims=True)
    task = {int(t): centred[:, members].mean(1) for t, members in frame.groupby("task").indices.items()}
    return _Means(pair, task)


def _choose(run: Run, rng: np.random.Generator) -> _Moves:
    rows, frame = run.rows["validation"], run.dataset.split("validation")
    number = {symbol: i for i, symbol in enumerate(run.dataset.vocabulary)}
    known = run.dataset.split("train").drop_duplicates(["task", "input"])
    options: dict[int, list[tuple[int, int]]] = {}
    for task, x, y in zip(known["task"], known["input"], known["output"], strict=True):
        options.setdefault(number[x], []).append((int(task), number[y]))
    here = frame["task"].to_numpy()[rows.instance]
    there, answer = np.full(here.shape, -1), np.full(here.shape, -1)
    for place in np.ndindex(here.shape):
        others = [(t, y) for t, y in options[rows.inputs[place]] if t != here[place] and y != rows.outputs[place]]
        if others:
            there[place], answer[place] = others[rng.integers(len(others))]
    return _Moves(here, there, answer)


def _shift(means: _Means, layer: int, direction: str, inputs, chosen: _Moves, rng) -> np.ndarray:
    """(R, M, D) what to add to each state."""
    width = next(iter(means.task.values())).shape[-1]
    shift = np.zeros((*inputs.shape, width), dtype=np.float32)
    for place in zip(*np.nonzero(chosen.there >= 0), strict=True):
        here, there, x = int(chosen.here[place]), int(chosen.there[place]), int(inputs[place])
        if direction == "task":
            shift[place] = means.task[there][layer] - means.task[here][layer]
        else:
            shift[place] = means.pair[there, x][layer] - means.pair[here, x][layer]
    if direction == "random":
        noise = rng.normal(size=shift.shape)
        noise *= np.linalg.norm(shift, axis=-1, keepdims=True) / np.linalg.norm(noise, axis=-1, keepdims=True)
        shift = noise.astype(np.float32)
    return shift


def _answers(model, rows, layer: int, shift: np.ndarray) -> np.ndarray:
    """(R, M) the model's answers with the states at one layer shifted."""
    found = []
    with torch.no_grad():
        for start in range(0, len(rows), observe.ROWS_PER_BATCH):
            part = np.arange(start, min(start + observe.ROWS_PER_BATCH, len(rows)))
            batch, added = rows.batch(part), torch.from_numpy(shift[part])
            output = gpt.forward(model, batch, edit=lambda n, x, added=added: x + added if n == layer else x)
            found.append(gpt.logits(model, output.hidden[batch.inputs]).argmax(-1))
    return torch.cat(found).numpy()
