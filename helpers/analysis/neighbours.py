"""Nearest training states of unseen instances: their tasks, and a vote on the output (section 3.3)."""

import numpy as np
import pandas as pd

from helpers.gpt.runs import Run


def same_task_share(tasks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of the first k neighbours that have the instance's task, for k = 1..K (Figure 3a).

    Args:
        tasks: (Q, K) task of each neighbour, nearest first.
        truth: (Q,) task of each instance.

    Returns:
        (K,) means over instances.
    """
    hits = tasks == truth[:, None]
    return (np.cumsum(hits, 1) / np.arange(1, tasks.shape[1] + 1)).mean(0)


def vote_accuracy(outputs: np.ndarray, truth: np.ndarray, ks: tuple[int, ...]) -> np.ndarray:
    """Accuracy of the neighbours' majority vote on the output (Figure 3b).

    Of outputs with equally many votes, the one whose first neighbour is nearest wins.

    Args:
        outputs: (Q, K) output symbol of each neighbour, nearest first.
        truth: (Q,) output symbol of each instance.
        ks: numbers of neighbours that vote, each at most K.

    Returns:
        (len(ks),) accuracies.
    """
    symbols = np.unique(np.concatenate([outputs.ravel(), truth]))
    votes = outputs[..., None] == symbols  # (Q, K, S)
    count = np.cumsum(votes, 1)
    first = np.where(votes.any(1), votes.argmax(1), outputs.shape[1])  # (Q, S) rank of the first vote
    found = []
    for k in ks:
        ranked = count[:, k - 1] - first / (outputs.shape[1] + 1)  # an earlier first vote breaks a tie
        found.append((symbols[ranked.argmax(1)] == truth).mean())
    return np.array(found)


def analyse(run: Run, ks: tuple[int, ...]) -> pd.DataFrame:
    """Same-task share and voting accuracy at every logged epoch and layer of a run.

    Returns:
        Columns width, seed, epoch, layer, k, same_task, accuracy.

    Raises:
        store.ArtefactError: a record of the run is lost or was changed.
    """
    train, validation = run.dataset.split("train"), run.dataset.split("validation")
    tasks, number = train["task"].to_numpy(), run.dataset.number
    train_outputs, truth = (frame["output"].map(number).to_numpy() for frame in (train, validation))
    rows = []
    for epoch in run.logged_epochs:
        found = run.record(epoch).neighbours["validation"].index  # (layers, Q, K)
        for layer, index in enumerate(found):
            share = same_task_share(tasks[index], validation["task"].to_numpy())
            accuracy = vote_accuracy(train_outputs[index], truth, ks)
            rows += [
                {"epoch": epoch, "layer": layer, "k": k, "same_task": share[k - 1], "accuracy": a}
                for k, a in zip(ks, accuracy, strict=True)
            ]
    return pd.DataFrame([run.point | row for row in rows])
