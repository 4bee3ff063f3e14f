"""Notebook 09: why clusters by task come and go."""

import pandas as pd

from helpers.analysis import course
from helpers.figures.course import SEEN
from helpers.figures.style import SPACE_TITLES, SPLIT_TITLES, variant_title
from helpers.findings.words import changes, listed, mean_over_seeds, percent, two
from helpers.rows import parts_of


def paths(table: pd.DataFrame) -> str:
    """What `figures.course` shows: in how many runs clusters of raw states fade, and from how high.

    Args:
        table: of `course.highest`; runs of several grids may be in it.
    """
    ends = course.fading(table)
    said = []
    for split, title in SPLIT_TITLES.items():
        mine = ends[(ends["split"] == split) & (ends["space"] == "raw") & (ends["last_accuracy"] >= course.GOOD)]
        if not len(mine):
            said.append(f"{title}: no run answers {percent(course.GOOD)} at its last epoch")
            continue
        for reading in dict.fromkeys(mine["reading"]):
            said.append(f"{title}, {_reading(reading)}: {_of_reading(mine[mine['reading'] == reading])}")
    return (
        f"Of runs that answer at least {percent(course.GOOD)} at their last epoch, in raw states at the layer with the "
        f"highest F1. {'. '.join(said)}."
    )


def _reading(reading: str) -> str:
    name, changed = parts_of(reading)
    return f"reading {name}" + (" with a choice changed" if changed else "")


def _of_reading(ends: pd.DataFrame) -> str:
    faded = ends[ends["course"] == "fades"]
    runs = "1 run" if len(ends) == 1 else f"{len(ends)} runs"
    high, last = ends["f1"].mean(), ends["last_f1"].mean()
    return (
        f"in {len(faded)} of {runs} F1 by task fell more than {course.FADED:g} below its highest (means: {two(high)} "
        f"at accuracy {two(ends['accuracy'].mean())}, and {two(last)} at the end)"
    )


def seen(table: pd.DataFrame, width: int) -> str:
    """What `figures.seen` shows: how the agreement with task, input and output changed.

    Args:
        table: of `course.highest`, runs of this profile.
        width: hidden dimension.
    """
    mine = mean_over_seeds(table.drop(columns="layer"), width)
    raw = mine[mine["space"] == "raw"]
    said = []
    for split, title in SPLIT_TITLES.items():
        part = raw[raw["split"] == split].sort_values("epoch")
        first, last = part.iloc[0], part.iloc[-1]
        moved = [f"{name} {changes(first[f'sees_{name}'], last[f'sees_{name}'])}" for name in SEEN]
        most = max(SEEN, key=lambda name: last[f"sees_{name}"])
        said.append(
            f"{title}: agreement with the {listed(moved)}; at the end the clusters are most of all those of the {most}"
        )
    return f"In {SPACE_TITLES['raw']}. {'. '.join(said)}."


def settings_that_keep(variants: pd.DataFrame) -> str:
    """Which single changes keep clusters of unseen instances in models that answer: runs of the multiverse.

    Args:
        variants: rows of course_grids.csv of the grid multiverse, as `course.highest` gives them.
    """
    ends = course.fading(variants)
    ends = ends[(ends["split"] == "validation") & (ends["space"] == "raw")]
    able = ends[ends["last_accuracy"] >= course.GOOD]
    kept = able[able["course"] == "rises"]
    names = listed(variant_title(name) for name in kept["variant"]) if len(kept) else "none"
    return (
        f"Of {len(ends)} variants, {len(able)} answer {percent(course.GOOD)} of unseen instances at their last epoch. "
        f"Of these, clusters by task stay within {course.FADED:g} of their highest F1 in: {names}."
    )
