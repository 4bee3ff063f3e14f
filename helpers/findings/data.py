"""Notebook 01: whether the data force a model to read the instruction."""

import pandas as pd

from helpers.findings.words import listed, percent


def answer(sizes: pd.DataFrame, shared: pd.Series, ambiguous: float, nearest: float) -> str:
    """What gives the task away.

    Args:
        sizes: table2.csv.
        shared: tasks that use each input, from `synthetic.tasks_per_input`.
        ambiguous: share of unseen instructions that another task's expression matches too.
        nearest: share of unseen instructions whose most similar training instruction has their task.
    """
    alone = int((shared == 1).sum())
    first = "No input symbol gives its task away" if not alone else f"{alone} of {len(shared)} inputs give theirs away"
    guess = percent(1 / shared.mean())
    different = sizes[sizes["instances"] != sizes["paper"]]
    counts = listed(f"{row.instances:,} ({row.split})" for row in sizes.itertuples())
    like = "as in the paper's Table 2" if not len(different) else "fewer or more than in the paper's Table 2"
    return (
        f"**{first}**: {shared.min()} to {shared.max()} tasks share each, and a guess from the input alone would be "
        f"right {guess} of the time. The instruction does: {percent(ambiguous)} of unseen instructions match the "
        f"expression of another task as well, and {percent(nearest)} are most like a training instruction of their "
        f"own task. There are {counts} instances, {like}."
    )


def figure(instances: pd.DataFrame) -> str:
    """What the three panels of `figures.lengths_and_overlap` show.

    Args:
        instances: of the data set.
    """
    lengths = instances.drop_duplicates("instruction_id")["instruction"].str.len()
    shared = instances.groupby("input")["task"].nunique()
    return (
        f"Left: instructions have {lengths.min()} to {lengths.max()} symbols, half of them at most "
        f"{lengths.median():.0f}. Middle: every input serves {shared.min()} to {shared.max()} tasks. Right: few "
        "pairs of distributions share most of their symbols, so which symbols occur says much about the task."
    )


def splits(parts: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """What each split holds.

    Args:
        parts: name -> instances of it.
    """
    return pd.DataFrame(
        {
            name: {
                "instructions": part["instruction_id"].nunique(),
                "hard instructions": part.loc[part["hard"], "instruction_id"].nunique(),
                "tasks": part["task"].nunique(),
                "distributions": part["distribution"].nunique(),
                "distribution-mappings": part.groupby(["distribution", "mapping"]).ngroups,
            }
            for name, part in parts.items()
        }
    )
