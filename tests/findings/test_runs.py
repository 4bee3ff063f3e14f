"""Sentences of notebooks 01 to 04 and 06 to 08, from small tables whose numbers are known."""

import itertools

import pandas as pd
import pytest

from helpers.findings import beside, clusters, controls, data, interventions, neighbours, training
from helpers.settings import ModelSettings
from helpers.tables import LABELS, SPLITS

PLACE = {"width": 32, "seed": 0}


def test_the_data_answer_says_what_gives_a_task_away():
    sizes = pd.DataFrame({"split": ["train", "subset"], "instances": [7300, 180], "paper": [7300, 180]})
    said = data.answer(sizes, pd.Series({"a": 4, "b": 6}), ambiguous=0.0, nearest=0.98)
    for words in ("No input symbol", "4 to 6 tasks", "20% of the time", "0% of unseen", "98% are most like",
                  "7,300 (train) and 180 (subset)", "as in the paper"):  # fmt: skip
        assert words in said
    fewer = data.answer(sizes.assign(instances=[70, 10]), pd.Series({"a": 1, "b": 3}), ambiguous=0.1, nearest=0.5)
    assert "1 of 2 inputs give theirs away" in fewer
    assert "fewer or more than in the paper" in fewer


def test_the_data_figure_and_splits_are_counted(dataset):
    said = data.figure(dataset.instances)
    lengths = dataset.instances.drop_duplicates("instruction_id")["instruction"].str.len()
    assert f"{lengths.min()} to {lengths.max()} symbols" in said
    table = data.splits({"train": dataset.split("train"), "validation": dataset.split("validation")})
    assert table.loc["hard instructions", "validation"] == 0
    assert table.loc["instructions", "train"] == dataset.split("train")["instruction"].nunique()


def history(unseen, subset=0.5, seed=0):
    losses = [4.0 - n for n in range(len(unseen))]
    rows = {"epoch": range(len(unseen)), "loss": losses, "output_loss": losses, "accuracy_subset": subset}
    return pd.DataFrame({"width": 32, "seed": seed, **rows, "accuracy_validation": unseen})


def test_training_is_told_by_its_best_epoch_and_its_rise():
    said = training.answer(history([0.0, 0.05, 0.6, 0.5]))
    assert "Width 32: 60% of unseen instances are solved at the best epoch, 2** (chosen on the same instances)" in said
    assert "first half of them at epoch 2" in said
    assert "epoch 3, it is 50% of them, and 50% of the training subset" in said
    assert "never half of them in 1 epochs" in training.answer(history([0.0, 0.1]))
    drawn = training.figure(history([0.0, 0.05, 0.6, 0.5]), 32)
    assert "falls from 4.00 to 1.00" in drawn
    assert "below 0.1 for the last time at epoch 1, when these are 3.00 and 3.00" in drawn
    assert "largest rise of accuracy from one epoch to the next is 0.55, at epoch 2" in drawn
    assert "never below 0.1" in training.figure(history([0.2, 0.3]), 32)


def test_training_over_seeds_is_their_mean_and_a_row_for_each_run():
    both = pd.concat([history([0.0, 0.4]), history([0.0, 0.8], seed=1)])
    assert "Width 32 (means of 2 seeds): 60%" in training.answer(both)
    rows = training.summary(both)
    assert rows["best epoch"].tolist() == [1, 1]
    assert rows["at the end"].tolist() == [0.4, 0.8]


def scores(ends: dict[str, float], seeds=(0,)) -> pd.DataFrame:
    """clustering.csv in which F1 goes from 0.2 over 0.95 to the end that is given for each space, at layer 2."""
    rows = [
        {"width": 32, "seed": seed, "epoch": epoch, "layer": layer, "split": split, "label": label, "space": space,
         "k": 10 + seed, "f1": value if layer == 2 else 0.1, "ari": value / 2, "ami": value / 4}
        for seed, split, label, (space, end), layer in itertools.product(seeds, SPLITS, LABELS, ends.items(), (0, 1, 2))
        for epoch, value in ((0, 0.2), (4, 0.95), (8, end))
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("end", "words"), [(0.4, "0.50, which is not above the paper's 0.9"), (0.93, "0.93, which is above")]
)
def test_clusters_are_told_beside_the_papers_number(end, words):
    said = clusters.answer(scores({"raw": end, "tsne": 0.5, "centred": 0.99}))
    assert words in said
    assert f"| Training subset | raw states | 0.20 | 0.95 (epoch 4) | {end:.2f} |" in said
    assert "| Unseen instances | input-centred states | 0.20 | 0.99 (epoch 8) | 0.99 |" in said


def test_clusters_over_seeds_are_one_mean_though_seeds_have_other_numbers_of_labels():
    said = clusters.answer(scores({"raw": 0.4}, seeds=(0, 1)))
    assert "Width 32 (means of 2 seeds)" in said
    assert "(the best of raw states, best layer" in said


def test_figures_of_clusters_are_told_by_their_best_layer():
    table = scores({"raw": 0.4, "centred": 0.6})
    said = clusters.f1(table, 32, "raw")
    assert "| Training subset | task | 0.20 | 0.95 (epoch 4) | 0.40 | 2 |" in said
    assert "| Unseen instances | distribution-mapping | 0.20 | 0.95 (epoch 4) | 0.40 | 2 |" in said
    assert "training subset: F1 0.60, ARI 0.30, AMI 0.15" in clusters.all_scores(table, 32, "centred")


HARD = pd.DataFrame(
    [
        {**PLACE, "epoch": epoch, "layer": layer, "space": space, "pairs_separated": share * (0.5 if layer == 2 else 1),
         "nearer_own_task": share / 2, "accuracy_hard": 0.3, "accuracy_original": 0.9}
        for epoch, share in ((0, 1.0), (8, 0.5)) for layer in (0, 1, 2) for space in ("raw", "centred")
    ]
)  # fmt: skip


def test_hard_examples_are_told_at_the_last_epoch():
    said = clusters.hard(HARD, scores({"raw": 0.4, "centred": 0.6}), 32)
    assert "answers 30% of hard examples and 90% of their originals" in said
    assert "25% of hard examples are nearer to their own task" in said
    assert "25% (raw states) and 25% (input-centred states)" in said, "at layer 2, whose F1 by task is highest"


def test_the_explorers_answer_needs_tables_and_says_so():
    assert "make reproduce" in clusters.in_the_plane(None, HARD)
    said = clusters.in_the_plane(scores({"raw": 0.4, "centred": 0.6}), HARD)
    assert "F1 0.60 at the end of training, 0.20 before it; as they are, with 0.40 and 0.20" in said
    assert "Of hard examples 25%" in said
    found = pd.DataFrame({"f1": {"task": 0.7, "distribution": 0.1}})
    shown = clusters.pictures([("validation", 8, 2, "raw"), ("validation", "main", 1, "centred")], [found, found])
    assert "layer 2, raw states, epoch 8: 0.70 and 0.10; layer 1, input-centred states, revision main: 0.70" in shown


NEAR = pd.DataFrame(
    [
        {**PLACE, "epoch": epoch, "layer": layer, "k": k, "same_task": layer * grown / k, "accuracy": layer * grown / 4}
        for epoch, grown in ((0, 0.1), (8, 0.8)) for layer in (0, 1, 2) for k in (1, 2)
    ]
)  # fmt: skip


def test_neighbours_are_told_by_the_best_layer_and_layer_0():
    said = neighbours.answer(NEAR, 2)
    assert "vote of the 2 nearest training states solves 40% of unseen" in said
    assert "5% before any training, and 0% at layer 0" in said
    assert neighbours._untrained(0.951, 0.949) == "as well as before any training (95%)"
    assert "same task rises from 0.10 to 0.80" in said
    assert (
        "KNN accuracy rises from 0.00 to 0.40 from layer 0 to layer 2 and is highest at layer 2"
        in neighbours.figure(NEAR, 32, 2)
    )
    assert "From K = 1 to 2 the best layer's accuracy stays at 0.40" in neighbours.sensitivity(NEAR, 32)
    rows = neighbours.by_layer(NEAR, 2, {32: {0: 7}})
    assert rows["epoch"].tolist() == [0, 0, 8, 8]
    assert rows.loc[2, "layer 2"] == pytest.approx(0.8)


def beside_controls(raw: float):
    table = scores({"raw": raw})
    values = {"permuted_f1": 0.2, "linear_probe": 0.99, "within_input_f1": 0.6, "within_input_chance": 0.5}
    rows = [{**PLACE, "epoch": 8, "layer": layer, "split": split, "control": name, "value": value * layer / 2}
            for layer in (0, 1, 2) for split in SPLITS for name, value in values.items()]  # fmt: skip
    alone = {"input": 0.3, "bag_of_symbols": 0.45, "bag_and_input": 0.4, "edit_distance": 0.1}
    surface = [{**PLACE, "split": split, "control": name, "label": "task", "f1": value}
               for split in SPLITS for name, value in alone.items()]  # fmt: skip
    return pd.DataFrame(rows), table, pd.DataFrame(surface)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (0.4, "is not higher on the training subset (0.40 to 0.45) and unseen instances (0.40 to 0.45)."),
        (0.5, "is higher on the training subset (0.50 to 0.45) and unseen instances (0.50 to 0.45)."),
    ],
)
def test_controls_say_where_states_give_more_than_appearance(raw, words):
    of_states, table, surface = beside_controls(raw)
    said = controls.answer(of_states, table, surface)
    assert words in said
    assert f"states {raw:.2f}; permuted labels 0.20; the input alone 0.30; the instruction's symbols alone 0.45" in said
    assert "accuracy 0.99" in said
    assert "training subset 0.60 at layer 2 (labels permuted: 0.50)" in controls.figure(of_states, 32)


def test_one_set_alone_is_named():
    of_states, table, surface = beside_controls(0.5)
    surface.loc[surface["split"] == "subset", "f1"] = 0.6
    said = controls.answer(of_states, table, surface)
    assert "higher on the unseen instances (0.50 to 0.45) and not higher on the training subset (0.50 to 0.60)" in said


def test_variance_names_the_largest_part():
    shares = {"input": (0.7, 0.3), "task": (0.2, 0.6)}
    place = {**PLACE, "epoch": 3, "split": "subset"}
    table = pd.DataFrame([{**place, "layer": layer, "part": name, "share": pair[layer - 1]}
                          for name, pair in shares.items() for layer in (1, 2)])  # fmt: skip
    said = controls.variance(table, 32, "subset")
    assert "input 0.70 and 0.30 and task 0.20 and 0.60" in said
    assert "Most is by input at layer 1, by task at layer 2." in said


FOLLOWED = {"task_and_input": (0.1, 0.4, 0.5), "task": (0.3, 0.2, 0.45), "random": (0, 0.01, 0.02)}
MOVED = pd.DataFrame(
    [
        {**PLACE, "layer": layer, "direction": name, "became_other": share, "stayed": 1 - 2 * share, "instances": 936}
        for name, shares in FOLLOWED.items()
        for layer, share in enumerate(shares)
    ]
)  # fmt: skip


def test_moves_are_told_below_the_last_layer():
    said = interventions.answer(MOVED)
    assert "at most 30% of the states make the model answer as the other task** (layer 0)" in said
    assert "holds the answer, 40% do (layer 1); as far in a random direction, 1%" in said
    assert "936 moves at each layer" in said
    assert "As few as 40% stay when moved along the difference of means (layer 0), and 98%" in interventions.figure(
        MOVED, 32
    )


def test_settings_stand_beside_the_papers_and_what_it_leaves_open_comes_last():
    table = beside.beside_paper(ModelSettings(hidden_dimension=32))
    row = table.set_index("setting").loc["hidden_dimension"]
    assert row[["paper", "here"]].tolist() == [768, 32]
    left_open = (table["paper's name"] == beside.OPEN).tolist()
    assert any(left_open)
    assert left_open == sorted(left_open)
    assert table.set_index("setting").loc["feedforward_dimension", ["paper", "here"]].tolist() == [1024, 64]
