"""Is the cluster used? Steer states from their task to another, and see what the model answers (activation steering).

For a validation instance that the model solves, another task with the same input and another output is drawn.
At one layer a steering vector is added to the state at the input; the layers above run on. The result is how often the
answer becomes the other task's. The paper does not ask this.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from helpers import timing
from helpers.analysis import spaces
from helpers.device import Device
from helpers.gpt import model as gpt
from helpers.gpt import observe
from helpers.gpt.runs import Run

# Steering vectors: the difference of the mean training states of two (task, input) pairs; that of two tasks' means, of
# states less the mean of their input; and a random direction of the first one's norm.
DIRECTIONS = ("task_and_input", "task", "random")
CPU = Device(torch.device("cpu"), "float32", "exact enough for a count, and on every machine")


@dataclass(frozen=True)
class _Moves:
    """For every instance of the validation rows (R, M): where from, where to, and the answers expected."""

    here: np.ndarray  # task
    there: np.ndarray  # another task with the same input; -1 if there is none
    answer: np.ndarray  # its output there


@timing.timed("interventions")
def moves(run: Run, which: str = "best", draws: int = 3, seed: int = 0) -> pd.DataFrame:
    """Answers after moving states, by layer and direction.

    Args:
        which: best or last, the epoch whose weights are used.
        draws: other tasks drawn for each instance.

    Returns:
        width, seed, layer, direction, became_other, stayed, instances: shares of the moved instances, and their number.

    Raises:
        store.ArtefactError: the weights are lost or changed, or those of a later epoch than the settings stop at.
    """
    model = run.model(which)
    rows = run.rows["validation"]
    seen = observe.observe(model, run.rows["train"], CPU).states  # (layers, instances, D)
    means = _means(seen, run)
    solved = observe.observe(model, rows, CPU).correct[rows.instance]  # (R, M)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        chosen = _choose(run, rng)
        for layer in range(len(seen)):
            for direction, shift in _shifts(means, layer, rows.inputs, chosen, rng).items():
                answers = _answers(model, rows, layer, shift)[solved & (chosen.there >= 0)]
                expected = chosen.answer[solved & (chosen.there >= 0)], rows.outputs[solved & (chosen.there >= 0)]
                other, same = (answers == expected[0]).sum(), (answers == expected[1]).sum()
                found.append((layer, direction, other, same, len(answers)))
    columns = ["layer", "direction", "became_other", "stayed", "instances"]
    table = pd.DataFrame(found, columns=columns).groupby(columns[:2], sort=False, as_index=False).sum()
    shares = {name: table[name] / table["instances"].clip(lower=1) for name in ("became_other", "stayed")}
    return table.assign(**shares, **run.point)


@dataclass(frozen=True)
class _Means:
    pair: dict[tuple[int, int], np.ndarray]  # (task, input) -> (layers, D)
    task: dict[int, np.ndarray]  # task -> (layers, D), of states less their input's mean


def _means(seen: np.ndarray, run: Run) -> _Means:
    frame = run.dataset.split("train")
    inputs = run.dataset.inputs("train")
    pair = {
        (int(task), int(x)): seen[:, members].mean(1)
        for (task, x), members in frame.assign(x=inputs).groupby(["task", "x"]).indices.items()
    }
    centred = spaces.input_centred(seen, inputs)
    task = {int(t): centred[:, members].mean(1) for t, members in frame.groupby("task").indices.items()}
    return _Means(pair, task)


def _choose(run: Run, rng: np.random.Generator) -> _Moves:
    """For each validation instance another task with its input and another output, at random where there is one."""
    rows, options = run.rows["validation"], _tasks_of_inputs(run)
    here = run.dataset.split("validation")["task"].to_numpy()[rows.instance]
    there, answer = np.full(here.shape, -1), np.full(here.shape, -1)
    for place in np.ndindex(here.shape):
        others = [(t, y) for t, y in options[rows.inputs[place]] if t != here[place] and y != rows.outputs[place]]
        if others:
            there[place], answer[place] = others[rng.integers(len(others))]
    return _Moves(here, there, answer)


def _tasks_of_inputs(run: Run) -> dict[int, list[tuple[int, int]]]:
    """Input -> its (task, output) pairs in training."""
    known = run.dataset.split("train").drop_duplicates(["task", "input"])
    number = run.dataset.number
    found: dict[int, list[tuple[int, int]]] = {}
    for task, x, y in zip(known["task"], known["input"], known["output"], strict=True):
        found.setdefault(number[x], []).append((int(task), number[y]))
    return found


def _shifts(means: _Means, layer: int, inputs: np.ndarray, chosen: _Moves, rng) -> dict[str, np.ndarray]:
    """What to add to each state, (R, M, D), in each of DIRECTIONS."""
    dimension = next(iter(means.task.values())).shape[-1]
    to_mean = _between(chosen, inputs, lambda task, x: means.pair[task, x][layer], dimension)
    along = _between(chosen, inputs, lambda task, _: means.task[task][layer], dimension)
    return dict(zip(DIRECTIONS, (to_mean, along, _random_as_long(to_mean, rng)), strict=True))


def _between(chosen: _Moves, inputs: np.ndarray, mean, dimension: int) -> np.ndarray:
    """(R, M, D) the other task's mean less the own one's; zero where there is no other task.

    Args:
        mean: (task, input) -> (D,).
    """
    places = list(zip(*np.nonzero(chosen.there >= 0), strict=True))
    found = [mean(int(chosen.there[p]), int(inputs[p])) - mean(int(chosen.here[p]), int(inputs[p])) for p in places]
    shift = np.zeros((*inputs.shape, dimension), dtype=np.float32)
    for place, difference in zip(places, found, strict=True):
        shift[place] = difference
    return shift


def _random_as_long(shift: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random directions, each as long as its shift."""
    noise = rng.normal(size=shift.shape)
    noise *= np.linalg.norm(shift, axis=-1, keepdims=True) / np.linalg.norm(noise, axis=-1, keepdims=True)
    return noise.astype(np.float32)


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
