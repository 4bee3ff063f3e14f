"""Notebook 02: whether the model learns the task, and when."""

import pandas as pd

from helpers.findings.words import mean_over_seeds, paragraphs, percent, two, width_title, widths
from helpers.profiles import loss_on
from helpers.rows import best_epoch, readings_in

LOW, HALF = 0.1, 0.5  # accuracies that are near zero, and half way
LARGE = 10.0  # nats a token; a guess among the paper's 60 symbols has 4.1


def answer(history: pd.DataFrame) -> str:
    """Accuracy at its best and at the end, for each width.

    Args:
        history: training.csv.
    """
    return paragraphs(_learned(history, width) for width in widths(history))


def _learned(history: pd.DataFrame, width: int) -> str:
    mean = mean_over_seeds(history, width).set_index("epoch")
    seen, unseen = mean["accuracy_subset"], mean["accuracy_validation"]
    first = unseen.index[unseen >= HALF]
    when = (
        f"first half of them at epoch {first[0]}" if len(first) else f"never half of them in {mean.index.max()} epochs"
    )
    return (
        f"**{width_title(history, width)}: {percent(unseen.max())} of unseen instances are solved at the best epoch, "
        f"{unseen.idxmax()}** (chosen on the same instances), {when}. At the end, epoch {mean.index.max()}, it is "
        f"{percent(unseen.iloc[-1])} of them, and {percent(seen.iloc[-1])} of the training subset, half of which is "
        "hard examples."
    )


def figure(history: pd.DataFrame, width: int) -> str:
    """What `figures.training` shows of one width."""
    mean = mean_over_seeds(history, width).set_index("epoch")
    unseen, loss, output = mean["accuracy_validation"], mean["loss"], mean["output_loss"]
    jump = unseen.diff()
    return (
        f"The loss on all tokens falls from {two(loss.iloc[0])} to {two(loss.iloc[-1])}, that on outputs alone from "
        f"{two(output.iloc[0])} to {two(output.iloc[-1])}; the model is trained on {_trained_on(history)}. "
        f"{_large_at_first(loss, output)}{_while_low(unseen, loss, output)} The largest rise of accuracy from one "
        f"epoch to the next is {two(jump.max())}, at epoch {jump.idxmax()}."
    )


def _trained_on(history: pd.DataFrame) -> str:
    return "all tokens" if loss_on(readings_in(history)[0]) == "sequence" else "outputs alone"


def _large_at_first(loss: pd.Series, output: pd.Series) -> str:
    """Why an untrained loss may be far above that of guessing."""
    if max(loss.iloc[0], output.iloc[0]) < LARGE:
        return ""
    return (
        "Untrained losses this large, far above those of guessing, come from large logits: embeddings of scale 1 are "
        "the output layer as well. "
    )


def _while_low(unseen: pd.Series, loss: pd.Series, output: pd.Series) -> str:
    """How far both losses fall while accuracy is near zero."""
    low = unseen.index[unseen < LOW]
    if not len(low):
        return f"Accuracy on unseen instances is never below {LOW}."
    return (
        f"Accuracy on unseen instances is below {LOW} for the last time at epoch {low.max()}, when these are "
        f"{two(loss[low.max()])} and {two(output[low.max()])}."
    )


def summary(history: pd.DataFrame) -> pd.DataFrame:
    """One row a run: how far it went, its best epoch, and accuracy there and at the end.

    Args:
        history: training.csv.
    """
    rows = []
    for (width, seed), run in history.groupby(["width", "seed"], sort=False):
        best, last = run.set_index("epoch", drop=False).loc[best_epoch(run)], run.iloc[-1]
        rows.append(
            {
                "width": width,
                "seed": seed,
                "epochs": int(last["epoch"]),
                "best epoch": int(best["epoch"]),
                "validation accuracy there": best["accuracy_validation"],
                "at the end": last["accuracy_validation"],
                "training subset at the end": last["accuracy_subset"],
            }
        )
    return pd.DataFrame(rows)
