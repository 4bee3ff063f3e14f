"""Notebook 07: how much of the scores chance, the input or the instruction's surface give by themselves."""

import pandas as pd

from helpers.figures.paper import PART_TITLES
from helpers.figures.style import SPLIT_TITLES
from helpers.findings.words import at_end, listed, mean_over_seeds, paragraphs, two, width_title, widths

SURFACE = {"input": "the input", "bag_of_symbols": "the instruction's symbols", "edit_distance": "edit distance"}


def answer(controls: pd.DataFrame, scores: pd.DataFrame, surface: pd.DataFrame) -> str:
    """Task F1 of raw states beside what needs no training, for each width.

    Args:
        controls: controls.csv.
        scores: clustering.csv.
        surface: surface.csv.
    """
    return paragraphs(_beside(controls, scores, surface, width) for width in widths(scores))


def _beside(controls: pd.DataFrame, scores: pd.DataFrame, surface: pd.DataFrame, width: int) -> str:
    said, places = [], {True: [], False: []}
    for split, title in SPLIT_TITLES.items():
        states, control = _raw(scores, width, split), _controls(controls, width, split)
        flat = _surface(surface, width, split)
        said.append(
            f"- {title}: states {two(states.max())}; permuted labels {two(control['permuted_f1'].max())}; "
            + "; ".join(f"{SURFACE[name]} alone {two(value)}" for name, value in flat.items())
            + f". A linear probe reads the task off the states with accuracy {two(control['linear_probe'].max())}."
        )
        places[states.max() > flat.max()].append(f"{title.lower()} ({two(states.max())} to {two(flat.max())})")
    kinds = (("higher", places[True]), ("not higher", places[False]))
    where = " and ".join(f"{words} on the {listed(some)}" for words, some in kinds if some)
    return (
        f"**{width_title(scores, width)}: at the last epoch, F1 by task of raw states, beside what the appearance of "
        f"inputs and instructions gives, is {where}.** F1 by task, best layer above the embeddings:\n\n"
        + "\n".join(said)
    )


def _raw(scores: pd.DataFrame, width: int, split: str) -> pd.Series:
    """F1 by task of raw states at the last epoch, by layer above 0."""
    end = at_end(mean_over_seeds(scores.drop(columns="k"), width))
    chosen = (end["space"] == "raw") & (end["label"] == "task") & (end["split"] == split) & (end["layer"] > 0)
    return end[chosen].set_index("layer")["f1"]


def _controls(controls: pd.DataFrame, width: int, split: str) -> pd.DataFrame:
    """Controls at the last epoch: layers above 0 by control."""
    end = at_end(mean_over_seeds(controls, width))
    mine = end[(end["split"] == split) & (end["layer"] > 0)]
    return mine.pivot(index="layer", columns="control", values="value")


def _surface(surface: pd.DataFrame, width: int, split: str) -> pd.Series:
    """F1 by task of what needs no model."""
    mean = mean_over_seeds(surface, width)
    mine = mean[(mean["split"] == split) & (mean["label"] == "task")].set_index("control")["f1"]
    return mine.reindex(list(SURFACE))


def figure(controls: pd.DataFrame, width: int) -> str:
    """What `figures.controls` shows of the states with the input held fixed, one width."""
    said = []
    for split, title in SPLIT_TITLES.items():
        mine = _controls(controls, width, split)
        within, chance = mine["within_input_f1"], mine["within_input_chance"]
        said.append(
            f"{title.lower()} {two(within.max())} at layer {within.idxmax()} (labels permuted: {two(chance.max())})"
        )
    return (
        "Horizontal lines need no model. Where the curve of raw states does not rise above them, its clusters are "
        "no better than those of appearance alone; where it is no higher than permuted labels, than chance. "
        f"Instances of one input clustered by themselves: {' and '.join(said)}."
    )


def variance(table: pd.DataFrame, width: int, split: str) -> str:
    """What `figures.variance` shows: shares at the last epoch, at the first layer above the embeddings and the last.

    Args:
        table: variance.csv.
    """
    end = at_end(mean_over_seeds(table, width))
    shares = end[(end["split"] == split) & (end["layer"] > 0)].pivot(index="part", columns="layer", values="share")
    shares = shares.loc[list(dict.fromkeys(end["part"]))]
    first, last = shares.columns.min(), shares.columns.max()
    words = listed(f"{PART_TITLES[n]} {two(shares.loc[n, first])} and {two(shares.loc[n, last])}" for n in shares.index)
    return (
        f"{SPLIT_TITLES[split]}, last epoch, shares of the variance at layers {first} and {last}: {words}. "
        f"Most is by {PART_TITLES[shares[first].idxmax()]} at layer {first}, "
        f"by {PART_TITLES[shares[last].idxmax()]} at layer {last}."
    )
