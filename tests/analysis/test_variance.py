"""Shares of variance: known by construction, and the same as analysis of variance where designs are balanced."""

import numpy as np
import pandas as pd
import pytest

from helpers.analysis import variance


@pytest.fixture
def crossed():
    """Three tasks with the same four inputs, two distributions a task, two instructions a distribution."""
    rows = [
        {"task": t, "input": x, "output": f"{t}{x}", "distribution": 2 * t + d, "instruction_id": 4 * t + 2 * d + i}
        for t in range(3)
        for d in range(2)
        for i in range(2)
        for x in range(4)
    ]
    return pd.DataFrame(rows)


def test_parts_add_up_to_one(dataset):
    rng = np.random.default_rng(0)
    for split in ("subset", "validation"):
        frame = dataset.split(split)
        shares = variance.Parts(frame).of(rng.normal(size=(len(frame), 5)))
        assert tuple(shares) == variance.PARTS
        assert sum(shares.values()) == pytest.approx(1)
        assert min(shares.values()) > -1e-12


@pytest.mark.parametrize("name", ["distribution", "instruction_id"])
def test_what_states_are_made_of_gets_the_variance(crossed, name):
    """States that are constant within instructions vary with tasks, distributions and instructions alone."""
    rng = np.random.default_rng(1)
    means = rng.normal(size=(crossed[name].nunique(), 6))
    shares = variance.Parts(crossed).of(means[crossed[name]])
    part = {"distribution": "distribution", "instruction_id": "instruction"}[name]
    assert shares[part] > 0.1
    assert shares["rest"] == pytest.approx(0)
    assert sum(shares[n] for n in ("task", "output", "distribution", "instruction")) == pytest.approx(1)


def test_crossed_factors_share_as_in_analysis_of_variance(crossed):
    """Task and input are orthogonal here: each explains its own, whatever the order."""
    task, x = np.array([-1.0, 0, 1])[crossed["task"]], np.array([-3.0, -1, 1, 3])[crossed["input"]]
    frame = crossed.assign(output=0)  # an output that says nothing
    shares = variance.Parts(frame).of(np.stack([2 * task + x], axis=1))
    assert shares["task"] == pytest.approx(4 * (2 / 3) / (4 * (2 / 3) + 5))
    assert shares["input"] == pytest.approx(5 / (4 * (2 / 3) + 5))
    assert shares["output"] == pytest.approx(0)


def test_factors_that_say_the_same_share_evenly(crossed):
    frame = crossed.assign(output=crossed["task"])
    states = np.array([[0.0], [1.0], [5.0]])[crossed["task"]]
    shares = variance.Parts(frame).of(states)
    assert shares["task"] == pytest.approx(0.5)
    assert shares["output"] == pytest.approx(0.5)


def test_outputs_that_task_and_input_do_not_fix_leave_no_share_below_zero(dataset):
    """As in the control data.shuffled_outputs, where an output tells what no mapping does."""
    frame = dataset.split("subset").reset_index(drop=True)
    shuffled = frame.assign(output=frame["output"].sample(frac=1, random_state=0).to_numpy())
    states = np.eye(len(set(shuffled["output"])))[pd.factorize(shuffled["output"])[0]]
    shares = variance.Parts(shuffled).of(states)
    assert min(shares.values()) >= 0
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["output"] > 0.5


def test_states_that_do_not_vary_have_no_shares(crossed):
    assert set(variance.Parts(crossed).of(np.full((len(crossed), 3), 0.1)).values()) == {0.0}
