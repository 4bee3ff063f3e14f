"""Notebook 05: whether pretrained language models show the same."""

import pandas as pd

from helpers.figures.style import LABEL_TITLES
from helpers.findings.words import highest, listed, paragraphs, percent, two
from helpers.tables import LABELS

CALLED = {
    "task": "category, the paper's task",
    "distribution": "task, its distribution",
    "distribution_mapping": "task with word pair, its distribution-mapping",
}


def answer(rows: pd.DataFrame, solved: pd.DataFrame, beside: str = "LLaMa-7B") -> str:
    """F1 of each model beside one of the paper's, and how many instances it solves.

    Args:
        rows: table1.csv.
        solved: llm_solved.csv.
        beside: the paper's model.
    """
    paper = rows[rows["model"] == beside].set_index("label")["f1"]
    share = solved.groupby(["model", "revision"])["solved"].mean()
    mine = rows[rows["source"] == "ours"].groupby(["model", "revision"], sort=False)
    return paragraphs(_model(*key, part.set_index("label"), paper, beside, share[key]) for key, part in mine)


def _model(model: str, revision: str, mine: pd.DataFrame, paper: pd.Series, beside: str, solved: float) -> str:
    told = [label for label in LABELS if pd.notna(mine.loc[label, "f1"])]
    scores = listed(f"{two(mine.loc[label, 'f1'])} by {CALLED[label]} ({two(paper[label])})" for label in told)
    return (
        f"**{model} {revision}, layer {mine['layer'].iloc[0]:.0f}: F1 {scores}; in brackets the paper's {beside}.** "
        f"The model solves {percent(solved)} of the instances."
    )


def by_model(table: pd.DataFrame, say) -> str:
    """A sentence for each model and revision of a table.

    Args:
        table: with columns model and revision.
        say: rows of one of them -> words.
    """
    groups = table.groupby(["model", "revision"], sort=False)
    return paragraphs(f"{model} {revision}: {say(part)}" for (model, revision), part in groups)


def layers(table: pd.DataFrame) -> str:
    """What `figures.llm_layers` shows: F1 at the embeddings and at the best layer.

    Args:
        table: llm_layers.csv.
    """
    return by_model(table[table["space"] == "raw"], _layers)


def _layers(part: pd.DataFrame) -> str:
    words = []
    for label in LABELS:
        mine = part[(part["label"] == label) & part["f1"].notna()]
        if not len(mine):
            continue  # one label alone, or one for each instance
        first, best = mine.set_index("layer")["f1"][0], highest(mine, "f1")
        words.append(f"{LABEL_TITLES[label].lower()} {two(first)} at the embeddings, {two(best['f1'])} at most "
                     f"(layer {best['layer']})")  # fmt: skip
    return f"F1 by {'; '.join(words)}."


def neighbours(table: pd.DataFrame) -> str:
    """What `figures.llm_neighbours` shows.

    Args:
        table: llm_neighbours.csv.
    """
    return by_model(table, _neighbours)


def _neighbours(part: pd.DataFrame) -> str:
    by_layer = part.set_index("layer")
    best = highest(part, "same_task")
    return (
        f"the share of neighbours with the same of the sixteen tasks is {two(by_layer['same_task'][0])} at the "
        f"embeddings and {two(best['same_task'])} at most (layer {best['layer']}); a vote over their outputs is "
        f"right for {percent(part['accuracy'].max())} of held-out instances at the best layer."
    )


def maps(categories: int, tasks: int, solved: float) -> str:
    """What `figures.llm_map` shows of one model.

    Args:
        categories, tasks: how many there are.
        solved: share of the mapped instances that the model solves.
    """
    return (
        f"The same points three times: by {categories} categories, by {tasks} tasks, and by whether the model solves "
        f"the instance ({percent(solved)} here). Islands of one colour on the left are clusters by category; where "
        "islands in the middle are of one colour, they are clusters by task."
    )


def revisions(table: pd.DataFrame) -> str:
    """What `figures.llm_revisions` shows of one model: F1 by task at the best layer of the first and the last revision.

    Args:
        table: its rows of llm_layers.csv.
    """
    raw = table[(table["space"] == "raw") & (table["label"] == "task")]
    best = raw.groupby("revision", sort=False)["f1"].max()
    return (
        f"F1 by task at the best layer is {two(best.iloc[0])} at revision {best.index[0]} and {two(best.iloc[-1])} at "
        f"revision {best.index[-1]}."
    )
