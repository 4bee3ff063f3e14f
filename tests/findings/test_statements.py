"""Sentences of notebooks 09 and 10."""

import pandas as pd
import pytest

from helpers.findings import readings, statements
from helpers.verdict import facts, judge

WAYS = pd.DataFrame(
    [
        {"width": 32, "seed": 0, "reading": "gpt2", "split": split, "space": space, "method": method, "clusters": 1,
         "definition": "matched", "epoch": 8, "layer": 2, "f1": f1, "chance": 0.2}
        for split in ("subset", "validation")
        for space, method, f1 in (
            ("raw", "kmeans", 0.4), ("tsne", "kmeans", 0.5), ("whitened", "ward", 0.7), ("centred", "ward", 0.8)
        )
    ]
)  # fmt: skip
VARIANTS = pd.DataFrame(
    [
        {"variant": variant, "width": 128, "seed": 0, "reading": "gpt2", "claim": claim, "space": "raw", "at": "end",
         "model": "trained", "value": value}
        for variant, value in (("default", 0.4), ("training.weight_decay=0", 0.5), ("data.shuffled_outputs=True", 0.99))
        for claim in ("task_subset", "task_validation")
    ]
)  # fmt: skip


def searched(**rows) -> pd.DataFrame:
    """readings.csv: reading -> (rung, fit, learns)."""
    parts = dict.fromkeys(readings.TITLES, 0.5)
    found = [
        {"plan": "p", "rung": rung, "epochs": 50 * (rung + 1), "run": name, "reading": name, "width": 32, "fit": fit,
         **parts, "learns": learns, "abrupt": 0.1}
        for name, steps in rows.items() for rung, fit, learns in steps
    ]  # fmt: skip
    return pd.DataFrame(found)


FOUND = searched(a=[(0, 0.9, 0.8)], b=[(0, 0.5, 0.2), (1, 0.7, 0.9)], c=[(0, 0.1, None)], d=[(0, 0.3, 0.1)])


def test_ways_of_looking_are_told_beside_the_papers_number():
    said = readings.answer(WAYS, None, None, None, None)
    assert "3 ways to cluster 1 run" in said
    assert "0.70 on the training subset (the paper's way: 0.50)" in said
    assert "that is not above the paper's 0.9" in said
    assert "subtracted: 0.80 on the training subset and 0.80 on the unseen instances" in said
    assert "is above the paper's 0.9" in readings.answer(WAYS.assign(f1=0.95), None, None, None, None)
    drawn = readings.ways(WAYS[WAYS["space"] != "centred"])
    assert "0.50 by KMeans on raw or t-SNE states, 0.70 at most (whitened, 50 components, Ward linkage" in drawn


def test_runs_are_searched_once_and_told_by_reading():
    """A profile's run that a grid has as well counts there alone."""
    grids = [
        WAYS.assign(run="a", grid="seeds", variant="x", f1=WAYS["f1"] + 0.1),
        WAYS.assign(run="b", grid="m", variant="model.dropout=0", reading="gpt2 model.dropout=0"),
        WAYS.assign(run="c", grid="m", variant="data.shuffled_outputs=True", f1=0.99),
        WAYS.assign(run="d", grid="seeds", variant="y", reading="fitted", f1=0.3),
    ]
    found = facts.searched(WAYS, pd.concat(grids))
    assert (found["runs"], found["ways"]) == (3, 3)
    rows = {(row["split"], row["reading"]): row for row in found["by_reading"]}
    assert {reading for _, reading in rows} == {"gpt2", "gpt2, a choice changed", "fitted"}
    assert rows["subset", "gpt2"]["best"]["f1"] == found["subset"]["best"]["f1"] == pytest.approx(0.8)
    assert rows["subset", "gpt2, a choice changed"]["as_paper"] == 0.5


def test_changes_and_readings_are_told_where_their_tables_are_there():
    said = readings.answer(WAYS, None, VARIANTS, VARIANTS[:2].assign(value=0.45), FOUND)
    assert "Of 1 changes" in said
    assert "training subset 0.40 to 0.50 (no weight decay; other seeds of the default give 0.45 to 0.45)" in said
    falling = VARIANTS.assign(value=[0.5 if v == "default" else 0.1 for v in VARIANTS["variant"]])
    assert "none raises F1 by task" in readings.answer(WAYS, None, falling, None, None)
    assert "Of 4 readings searched at width 32, one run each, 2 solve half" in said
    assert "(fit 0.70 of 1, epoch 100): `b`" in said


def test_each_search_is_told_by_itself():
    both = pd.concat([FOUND, FOUND.assign(plan="q", width=768, fit=FOUND["fit"] / 2).query("reading != 'b'")])
    said = readings.answer(WAYS, None, None, None, both)
    assert said.index("Of 3 readings searched at width 768, one run each, 1 solves half") < said.index("Of 4 readings")
    assert [row["reading"] for row in facts.searches(both)] == ["a", "b"]


def test_a_reading_counts_where_it_was_trained_furthest():
    assert readings.latest(FOUND)["reading"].tolist() == ["b", "a", "d", "c"]
    assert set(readings.unlearnt(FOUND)["reading"]) == {"c", "d"}, "one failed, one solves too few"
    assert list(readings.plain(FOUND))[:4] == ["reading", "width", "epochs", "fit"]
    assert "met least is 'Accuracy then jumps' (0.10 of 1" in readings.heat(FOUND, 3)


@pytest.mark.parametrize(("name", "command"), [("readings", "make readings"), ("multiverse", "make verdict")])
def test_a_missing_table_is_named_with_the_command_that_makes_it(name, command):
    assert f"`{name}.csv`" in readings.missing(name)
    assert f"`{command}`" in readings.missing(name)
    assert f"`{name}.csv` has no runs of x: `{command}`" in readings.missing(name, "runs of x")


OVER = {"default": 0.4, "training.weight_decay=0": 0.95}  # across every rule's number


def test_changes_that_move_a_claim_are_counted_without_the_control():
    over = VARIANTS.assign(value=VARIANTS["variant"].map(OVER).fillna(0.99))
    table = judge.flipped(over, VARIANTS[:0])
    said = readings.moved(table)
    assert "For 2 statements some change alone" in said
    assert "most often is no weight decay (2 statements)" in said
    assert "another seed" not in said
    assert "50%" in readings.moved(table.assign(seeds=[0.5 if c == "task_subset" else 0.0 for c in table["claim"]]))
    assert readings.moved(table[:0]).startswith("No change alone")


def test_changes_that_chance_makes_least_come_first_in_words():
    over = VARIANTS.assign(value=VARIANTS["variant"].map(OVER).fillna(0.99))
    table = judge.flipped(over, VARIANTS[:0])
    by_chance = table.assign(seeds=[0.0 if c == "task_subset" else 0.5 for c in table["claim"]])
    told = readings.moves(by_chance, 5)
    assert told["quantity"][0] == "Task clusters, training subset (F1)"
    assert told["change"][0] == "no weight decay"
    assert told["other seeds across"].is_monotonic_increasing


CLAIMS = pd.DataFrame(
    [
        {"claim": claim, "reading": "gpt2", "width": width, "verdict": verdict, "seeds": seeds}
        for claim, width, verdict, seeds in (
            ("task_subset", 768, judge.FAILS, 3),
            ("task_validation", 768, judge.HOLDS, 3),
            ("hard_nearer", 768, judge.HOLDS, 3),
            ("task_subset", 32, judge.UNMEASURED, 0),
            ("task_subset", 256, judge.HOLDS, 5),
            ("pretrained", None, judge.UNMEASURED, 0),
        )
    ]
)


def test_verdicts_are_counted_at_the_papers_widths_and_apart_from_others():
    said = statements.answer(CLAIMS)
    counted = "counted once for each of its widths, 1 holds, 1 does not hold and 2 are not measured"
    assert f"Of the paper's 4 statements, {counted}" in said
    assert "At width 256, which the paper does not have: 1 holds." in said
    more = pd.concat([CLAIMS[:3].assign(reading="fitted", seeds=1, verdict=judge.UNDECIDED), CLAIMS])
    assert statements.answer(more) == said.replace("Of the", "With reading gpt2, of the", 1), "a statement counts once"


def test_claims_are_named_for_each_width_with_runs():
    at_768, at_256 = statements.figure(CLAIMS).splitlines()
    assert at_768.startswith("- Width 768, reading gpt2: 2 hold and 1 does not hold")
    assert at_256.startswith("- Width 256, reading gpt2: 1 hold")


def test_a_width_is_told_in_a_table_with_intervals():
    rows = CLAIMS.assign(where="3.2", paper="high", ours=0.456, low=0.4, high=[0.5] * (len(CLAIMS) - 1) + [None],
                         untrained=None, condition="", otherwise=None)  # fmt: skip
    table = statements.table(rows, 768)
    measured = CLAIMS[(CLAIMS["width"] == 768) & (CLAIMS["seeds"] > 0)]
    assert len(table) == len(measured)
    assert set(table["ours"]) <= {"0.46 (0.40 to 0.50)", "0.46"}
    assert table["statement"].iloc[0] == judge.EVERY[measured["claim"].iloc[0]].statement


def test_what_is_missing_is_counted_by_reading_and_width():
    rows = pd.DataFrame(
        [("a", "gpt2", 32, 3, judge.HOLDS, ""), ("b", "gpt2", 32, 0, judge.UNMEASURED, "needs 100 epochs"),
         ("a", "gpt2", 2048, 0, judge.UNMEASURED, "needs a run of this width with x"),
         ("b", "gpt2", 2048, 0, judge.UNMEASURED, "needs a run of this width with y"),
         ("c", None, None, 0, judge.UNMEASURED, "needs 14 GB")],
        columns=["claim", "reading", "width", "seeds", "verdict", "condition"],
    ).assign(about=[None] * 4 + ["GPT-J"])  # fmt: skip
    found = statements.lacking(rows).to_numpy().tolist()
    assert found == [["gpt2", "width 32", "100 epochs", 1], ["gpt2", "width 2,048", "a run of this width", 2],
                     ["", "GPT-J", "14 GB", 1]]  # fmt: skip


def test_the_part_that_varies_most_is_named():
    spread = pd.DataFrame({"data": [0.3, 0.2, 0.1], "initialisation": [0.1, 0.3, 0], "order": [0, 0, 0]})
    assert statements.parts(spread).startswith("Of 3 quantities 2 vary most with the data and 1 with the init")
    places = [("task_subset", "raw", "end", "trained"), ("knn_high", "all", "end", "trained")]
    rows = pd.DataFrame(
        {"data": [0.1, 0.3]}, pd.MultiIndex.from_tuples(places, names=["claim", "space", "at", "model"])
    )
    shown = statements.most_varied(rows, 1)
    assert shown.index.tolist() == [("Final KNN accuracy", "", "end", "trained")]


def test_thresholds_say_how_often_the_number_decides():
    rows = [("a", 768, 0.5, judge.HOLDS), ("a", 768, 0.9, judge.FAILS), ("b", 768, 0.5, judge.HOLDS),
            ("b", 768, 0.9, judge.HOLDS), ("b", 32, 0.5, judge.UNMEASURED)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["claim", "width", "number", "verdict"]).assign(reading="gpt2")
    said = statements.thresholds(table)
    assert (
        "Of 2 statements, counted at each width with runs, 1 have one verdict whatever 'high' means from 0.5 to 0.9"
        in said
    )
    assert statements.thresholds(table[-1:]) == "None of these statements was measured."
