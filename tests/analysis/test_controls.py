import numpy as np
import pandas as pd
import pytest

from helpers.analysis import clustering, controls
from helpers.analysis.scores import matched_f1
from helpers.profiles import resolve
from helpers.settings import ClusteringSettings
from helpers.task.synthetic import generate


@pytest.fixture
def frame():
    """Two tasks and three inputs, the third under one task alone."""
    rows = [(i, "ab"[i % 2] if i < 32 else "c", (i // 2) % 2 if i < 32 else 0, i // 2) for i in range(40)]
    return pd.DataFrame(rows, columns=["instance", "input", "task", "instruction_id"])


def test_within_one_input_the_input_cannot_hide_the_task(frame):
    rng = np.random.default_rng(0)
    states = rng.normal(size=(40, 5)) * 0.1
    states[:, 0] += frame["task"]  # small
    states[:, 1] += 50 * (frame["input"] == "b")  # large
    settings = ClusteringSettings(n_init=3)
    found = controls.within_input_f1(states, frame, settings, rng)
    assert found["within_input_f1"] == pytest.approx(1)
    assert matched_f1(frame["task"], clustering.kmeans(states, 2, settings)) < 0.8
    alone = frame[frame["input"] == "c"].reset_index(drop=True)
    assert np.isnan(controls.within_input_f1(states[:8], alone, settings, rng)["within_input_f1"])


def test_within_one_input_noise_scores_as_its_own_chance(frame):
    rng = np.random.default_rng(0)
    settings = ClusteringSettings(n_init=2)
    found = [controls.within_input_f1(rng.normal(size=(40, 5)), frame, settings, rng) for _ in range(10)]
    means = {name: np.mean([f[name] for f in found]) for name in found[0]}
    assert means["within_input_f1"] == pytest.approx(means["within_input_chance"], abs=0.05)
    assert means["within_input_chance"] > 0.5, "well above that of all instances together"


def test_the_linear_probe_finds_what_is_there_on_instructions_held_out_and_nothing_in_noise():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 40)
    instructions = np.arange(120) // 5
    noise = rng.normal(size=(120, 6))
    assert controls.linear_probe(noise + 4 * np.eye(6)[truth], truth, instructions) > 0.95
    assert controls.linear_probe(noise, truth, instructions) < 0.5
    # What tells the instruction apart and not the task does not help on other instructions.
    memory = 5 * rng.normal(size=(24, 6))[instructions] + noise
    assert controls.linear_probe(memory, truth, instructions) < 0.6


def test_the_linear_probe_finds_nothing_in_noise_of_many_dimensions(run):
    rng = np.random.default_rng(0)
    frame = run.dataset.split("validation").sort_values("task").reset_index(drop=True)
    found = []
    for _ in range(3):
        noise = rng.normal(size=(frame["instruction_id"].nunique(), 2 * len(frame)))
        states = noise[pd.factorize(frame["instruction_id"])[0]] + 0.1 * rng.normal(size=(len(frame), 2 * len(frame)))
        found.append(controls._of_layer(states, frame, ClusteringSettings(n_init=1))["linear_probe"])
    assert np.mean(found) < frame["task"].value_counts(normalize=True).max() + 0.1


def test_the_surface_of_a_data_set(dataset):
    table = controls.surface(dataset, ClusteringSettings(n_init=2))
    assert set(table["control"]) == {"input", "bag_of_symbols", "bag_and_input", "edit_distance"}
    assert len(table) == 2 * 4 * 3
    assert table["f1"].between(0, 1).all()
    by_input = table.query("control == 'input' and label == 'task'")["f1"]
    assert (by_input < 0.6).all(), "tasks share their inputs"


def test_states_are_controlled_at_every_layer(run):
    table = controls.of_states(run, ClusteringSettings(n_init=2))
    epochs = set(controls.epochs_of_interest(run))
    assert set(table["epoch"]) == epochs
    assert len(table) == len(epochs) * 2 * 3 * 6
    chance = table.query("control == 'permuted_ari'")["value"]
    assert chance.abs().max() < 0.1
    assert table["value"].notna().all()


def test_shuffled_outputs_keep_the_instructions_and_leave_nothing_to_learn():
    plain, shuffled = (generate(resolve("laptop", o).runs()[0].data) for o in ("", "data.shuffled_outputs=true"))
    a, b = plain.instances, shuffled.instances
    assert plain.content != shuffled.content
    columns = [c for c in a if c != "output"]
    pd.testing.assert_frame_equal(a[columns], b[columns])
    held_out = a["split"] == "validation"
    assert (a["output"] == b["output"])[held_out].all()
    assert (a["output"] == b["output"])[~held_out].mean() < 0.06
    assert b[~held_out].groupby(["task", "input"])["output"].nunique().median() > 5


def test_hard_examples_can_be_left_out_of_training():
    data = generate(resolve("laptop", "data.train_on_hard_examples=false").runs()[0].data)
    assert not data.split("train")["hard"].any()
    assert data.split("subset")["hard"].sum() == 90
    assert len(data.split("subset")) == 180
