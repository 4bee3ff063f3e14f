"""Notebook 08: whether moving a state to another task's place changes the answer."""

import pandas as pd

from helpers.findings.words import mean_over_seeds, paragraphs, percent, width_title, widths
from helpers.verdict import facts


def answer(table: pd.DataFrame) -> str:
    """Shares of answers that follow a moved state, for each width.

    Args:
        table: interventions.csv.
    """
    return paragraphs(_followed(table, width) for width in widths(table))


def _followed(table: pd.DataFrame, width: int) -> str:
    mean = mean_over_seeds(table, width)
    found = facts.interventions(table[table["width"] == width])
    return (
        f"**{width_title(table, width)}: moved along the difference of two tasks' means, at most "
        f"{percent(found['task'])} of the states make the model answer as the other task** (layer "
        f"{found['task_layer']}). Moved to the other task's mean for the same input, which also holds the answer, "
        f"{percent(found['mean'])} do (layer {found['mean_layer']}); as far in a random direction, "
        f"{percent(found['random'])}. The last layer is left out: there the answer is read off the moved state. "
        f"{mean['instances'].max():,.0f} moves at each layer."
    )


def figure(table: pd.DataFrame, width: int) -> str:
    """What `figures.interventions` shows of one width: where answers are lost without becoming the other task's."""
    stayed = mean_over_seeds(table, width).pivot(index="layer", columns="direction", values="stayed").iloc[:-1]
    return (
        f"Left, answers that follow; right, answers that stay. As few as {percent(stayed['task'].min())} stay when "
        f"moved along the difference of means (layer {stayed['task'].idxmin()}), and "
        f"{percent(stayed['random'].min())} when moved at random as far: what neither stays nor follows has become a "
        "third answer. At the last layer the answer is read off the moved state itself, so that layer says little."
    )
