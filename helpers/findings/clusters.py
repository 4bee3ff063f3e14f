"""Notebooks 03 and 06: whether hidden states cluster by task."""

import pandas as pd

from helpers.figures.style import LABEL_TITLES, SPACE_TITLES, SPLIT_TITLES
from helpers.findings.words import (
    at_end,
    highest,
    listed,
    mean_over_seeds,
    paragraphs,
    percent,
    table,
    two,
    width_title,
    widths,
)
from helpers.tables import LABELS
from helpers.verdict import facts, judge

COURSE = ("untrained", "highest", "at the end")
IN_PAPER = ("raw", "tsne")  # the spaces that the paper clusters in


def answer(scores: pd.DataFrame) -> str:
    """Task F1 of the best layer beside the paper's, for each width.

    Args:
        scores: clustering.csv.
    """
    return paragraphs(_clustered(scores, width) for width in widths(scores))


def _clustered(scores: pd.DataFrame, width: int) -> str:
    mine = scores[scores["width"] == width]
    spaces = [s for s in SPACE_TITLES if s in set(mine["space"])]
    found = {split: {s: facts.course(mine, s, split=split) for s in spaces} for split in SPLIT_TITLES}
    own = [s for s in spaces if s in IN_PAPER] or spaces
    subset, unseen = (max(found[split][s]["end"] for s in own) for split in SPLIT_TITLES)
    number = judge.EVERY["task_subset"].rule.above
    reached = "is above" if subset > number else "is not above"
    rows = [(SPLIT_TITLES[split], SPACE_TITLES[s], *_course(found[split][s])) for split in SPLIT_TITLES for s in spaces]
    return (
        f"**{width_title(scores, width)}: at the last epoch F1 by task of the training subset is {two(subset)}, which "
        f"{reached} the paper's {number:g}; that of unseen instances is {two(unseen)}** (the best of "
        f"{listed(SPACE_TITLES[s] for s in own)}, best layer above the embeddings).\n\n"
        + table(("F1 by task", "of", *COURSE), rows)
    )


def _course(found: dict) -> tuple[str, str, str]:
    """The cells of COURSE."""
    return two(found["start"]), f"{two(found['highest'])} (epoch {found['epoch']})", two(found["end"])


def fitted(scores: pd.DataFrame) -> str:
    """At which of the logged epochs t-SNE was fitted."""
    logged, at = (sorted(set(t["epoch"])) for t in (scores, scores[scores["space"] == "tsne"]))
    if at == logged:
        return f"t-SNE was fitted at all {len(logged)} logged epochs."
    return f"t-SNE was fitted at {len(at)} of {len(logged)} logged epochs (setting `tsne.epochs`): {listed(at)}."


def f1(scores: pd.DataFrame, width: int, space: str) -> str:
    """What `figures.clustering` shows of F1 in one space: each identity's course, and where the best layer is."""
    mean = mean_over_seeds(scores.drop(columns="k"), width)
    rows = []
    for split, title in SPLIT_TITLES.items():
        for label in LABELS:
            chosen = (mean["space"] == space) & (mean["split"] == split) & (mean["label"] == label)
            chosen &= mean["layer"] > 0
            layer = highest(at_end(mean[chosen]), "f1")["layer"]
            course = _course(facts.course(scores[scores["width"] == width], space, label, split))
            rows.append((title, LABEL_TITLES[label].lower(), *course, int(layer)))
    return f"Best layer above the embeddings, {SPACE_TITLES[space]}:\n\n" + table(
        ("F1", "by", *COURSE, "best layer at the end"), rows
    )


def all_scores(scores: pd.DataFrame, width: int, space: str) -> str:
    """What `figures.clustering` shows of all three scores in one space: the highest by task at the last epoch."""
    mean = mean_over_seeds(scores.drop(columns="k"), width)
    end = at_end(mean[(mean["space"] == space) & (mean["label"] == "task") & (mean["layer"] > 0)])
    said = [
        f"{title.lower()}: F1 {two(best['f1'])}, ARI {two(best['ari'])}, AMI {two(best['ami'])}"
        for split, title in SPLIT_TITLES.items()
        for best in [end[end["split"] == split][["f1", "ari", "ami"]].max()]
    ]
    return f"By task at the last epoch, the highest of any layer above 0 in {SPACE_TITLES[space]}, {'; '.join(said)}."


def hard(pairs: pd.DataFrame, scores: pd.DataFrame, width: int) -> str:
    """What `figures.hard_examples` shows of one width at the last epoch.

    Args:
        pairs: hard.csv.
        scores: clustering.csv.
    """
    end = at_end(mean_over_seeds(pairs, width))
    mine, scores = pairs[pairs["width"] == width], scores[scores["width"] == width]
    found = {space: facts.hard_examples(mine, scores, space) for space in dict.fromkeys(end["space"])}
    parted = listed(f"{percent(of['pairs_separated'])} ({SPACE_TITLES[space]})" for space, of in found.items())
    return (
        f"At the last epoch the model answers {percent(end['accuracy_hard'].iloc[0])} of hard examples and "
        f"{percent(end['accuracy_original'].iloc[0])} of their originals rightly. In raw states, at the layer where "
        f"most are, {percent(found['raw']['nearer_own_task'])} of hard examples are nearer to their own task than to "
        "their original. At the layer with the highest F1 by task, so many are in another cluster than their "
        f"original: {parted}."
    )


def in_the_plane(scores: pd.DataFrame | None, hard: pd.DataFrame | None) -> str:
    """What the explorer's pictures are of, in numbers, for the last width.

    Args:
        scores, hard: clustering.csv and hard.csv; None where no notebook has made them yet.
    """
    if scores is None or hard is None:
        return (
            "The tables of this profile are not there yet: `make reproduce` makes them. The pictures need a run alone."
        )
    width = widths(scores)[-1]
    mine = scores[scores["width"] == width]
    raw, centred = (facts.course(mine, space) for space in ("raw", "centred"))
    apart = facts.hard_examples(hard[hard["width"] == width], mine, "centred")["pairs_separated"]
    return (
        f"**{width_title(scores, width)}: with each input's mean state subtracted, unseen instances lie in groups by "
        f"task with F1 {two(centred['end'])} at the end of training, {two(centred['start'])} before it; as they are, "
        f"with {two(raw['end'])} and {two(raw['start'])}** (best layer). Of hard examples {percent(apart)} lie in "
        "another group than their original, each input's mean subtracted. Below is what such groups look like, and how "
        "they came to be."
    )


def pictures(places: list[tuple], scores: list[pd.DataFrame]) -> str:
    """Scores of the states in a picture of the explorer.

    Args:
        places: (split, moment, layer, space) of each plot.
        scores: f1 of each identity (rows) on those states, one table a plot.
    """
    words = [
        f"layer {layer}, {SPACE_TITLES[space]}, {'epoch' if isinstance(moment, int) else 'revision'} {moment}: "
        f"{two(found.loc['task', 'f1'])} and "
        f"{two(found.loc['distribution', 'f1'])}"
        for (_, moment, layer, space), found in zip(places, scores, strict=True)
    ]
    return f"F1 of KMeans by task and by distribution on the states in the picture: {'; '.join(words)}."
