import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_mutual_info_score

from helpers.analysis import clustering, course
from helpers.findings import course as say
from helpers.verdict import facts


def path(f1, accuracy, seed=0, reading="gpt2", space="raw", split="validation", **more):
    """One run's rows: the layer above the embeddings as given, layer 0 higher still."""
    rows = []
    for epoch, (a, b) in enumerate(zip(f1, accuracy, strict=True)):
        for layer, value in ((0, 0.99), (1, a / 2), (2, a)):
            seen = {f"sees_{name}": a / n for n, name in enumerate(("task", "input", "output"), 1)}
            shares = {f"share_{name}": 0.2 for name in ("task", "input", "output")}
            rows.append({"width": 32, "seed": seed, "reading": reading, "epoch": epoch, "layer": layer, "split": split,
                         "space": space, "f1": value, "accuracy": b, **seen, **shares, **more})  # fmt: skip
    return pd.DataFrame(rows)


def test_the_embeddings_do_not_count():
    found = course.highest(path([0.2, 0.8], [0.0, 1.0]))
    assert found["layer"].tolist() == [2, 2]
    assert found["f1"].tolist() == [0.2, 0.8]


@pytest.mark.parametrize(("f1", "expected"), [([0.1, 0.5, 0.9], "rises"), ([0.1, 0.9, 0.86], "rises"),
                                              ([0.1, 0.9, 0.5], "fades")])  # fmt: skip
def test_a_run_fades_when_it_ends_below_its_highest(f1, expected):
    ends = course.fading(course.highest(path(f1, [0.0, 0.6, 1.0])))
    assert ends["course"].item() == expected
    assert ends["f1"].item() == max(f1)
    assert ends["accuracy"].item() == {0.9: 0.6 if f1[1] == 0.9 else 1.0}[max(f1)]
    assert ends["last_accuracy"].item() == 1.0


def test_runs_are_told_by_reading_and_those_that_cannot_answer_are_left_out():
    runs = [path([0.1, 0.9, 0.5], [0, 0.7, 1], seed=s) for s in range(2)]
    runs += [path([0.1, 0.2, 0.6], [0, 0.5, 0.95], reading="fitted"), path([0.1, 0.9, 0.1], [0, 0, 0.2], seed=7)]
    said = say.paths(course.highest(pd.concat(runs)))
    assert "reading gpt2: in 2 of 2 runs F1 by task fell more than 0.05" in said
    assert "(means: 0.90 at accuracy 0.70, and 0.50 at the end)" in said
    assert "reading fitted: in 0 of 1 run F1" in said
    assert "Training subset: no run answers 90%" in said


def test_a_run_that_stands_in_both_tables_counts_once():
    own, other = path([0.1, 0.9], [0, 1]), path([0.2, 0.3], [0, 1], seed=1)
    grids = pd.concat([course.highest(own), course.highest(other)]).assign(grid="seeds", run="r", variant="default")
    found = course.beside(own, grids)
    assert found.groupby("seed")["f1"].max().to_dict() == {0: 0.9, 1: 0.3}
    assert len(course.beside(own, None)) == 2
    assert len(course.beside(own, grids.assign(grid="multiverse"))) == 2


def test_of_a_run_in_both_tables_the_longer_course_is_taken_whole():
    short, long = path([0.1, 0.9], [0, 1]), path([0.2, 0.3, 0.4], [0, 1, 1])
    grids = course.highest(long).assign(grid="seeds", run="r", variant="default")
    assert course.beside(short, grids)["f1"].tolist() == [0.2, 0.3, 0.4]
    swapped = course.highest(short).assign(grid="seeds", run="r", variant="default")
    assert course.beside(long, swapped)["f1"].tolist() == [0.2, 0.3, 0.4]
    assert course.beside(short, pd.concat([grids, swapped.assign(grid="readings")]))["f1"].tolist() == [0.2, 0.3, 0.4]


def test_variants_that_keep_clusters_are_named():
    runs = [path([0.1, 0.9, end], [0, 1, 1], variant=name, grid="multiverse", run=name)
            for name, end in (("default", 0.4), ("training.weight_decay=1", 0.88))]  # fmt: skip
    highest = course.highest(pd.concat(runs))
    said = say.settings_that_keep(highest)
    assert "Of 2 variants, 2 answer" in said
    assert "in: weight decay 1." in said
    rows = facts.kept(highest)
    assert [(r["variant"], r["last_f1"], r["course"]) for r in rows] == [
        ("training.weight_decay=1", 0.88, "rises"), ("default", 0.4, "fades")
    ]  # fmt: skip
    assert facts.kept(None) == facts.kept(highest.assign(grid="seeds")) == []


def test_a_runs_course_is_that_of_its_other_tables(run, settings):
    tables = clustering.analyse(run, settings.clustering, settings.tsne, jobs=1)
    scores, found = tables["clustering"].query("label == 'task'"), tables["course"]
    by = ["epoch", "layer", "split", "space"]
    both = scores.merge(found, on=[*by, *run.point], suffixes=("", "_course"))
    assert len(both) == len(found) == len(scores)
    assert (both["f1"] == both["f1_course"]).all()
    assert np.allclose(both["ami"], both["sees_task"])
    shares = tables["variance"].query("part == 'output'").merge(found, on=[*by[:3], *run.point])
    assert (shares["share"] == shares["share_output"]).all()
    history = run.history.set_index("epoch")
    for row in found.itertuples():
        assert row.accuracy == history.at[row.epoch, f"accuracy_{row.split}"]


def test_agreement_is_with_what_the_clusters_follow(dataset):
    frame = dataset.split("validation")
    found = course.agreement(frame["output"].to_numpy(), frame)
    assert found["sees_output"] == 1
    assert found["sees_task"] == pytest.approx(adjusted_mutual_info_score(frame["task"], frame["output"]))
