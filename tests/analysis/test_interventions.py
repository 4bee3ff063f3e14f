import numpy as np
import pytest
import torch

from helpers.analysis import interventions


@pytest.fixture(scope="module")
def table(run):
    return interventions.moves(run, "last", draws=2)


def test_every_layer_and_direction_is_counted(run, table):
    assert len(table) == 3 * len(interventions.DIRECTIONS)
    assert (table["instances"] == table["instances"].iloc[0]).all()
    assert (table["became_other"] + table["stayed"] <= 1 + 1e-9).all()


def test_the_tasks_chosen_have_the_same_input_and_another_output(run):
    rows, frame = run.rows["validation"], run.dataset.split("train")
    chosen = interventions._choose(run, np.random.default_rng(0))
    vocabulary = run.dataset.vocabulary
    known = set(zip(frame["task"], frame["input"], frame["output"], strict=True))
    moved = 0
    for place in zip(*np.nonzero(chosen.there >= 0), strict=True):
        x, y = vocabulary[rows.inputs[place]], vocabulary[chosen.answer[place]]
        assert (chosen.there[place], x, y) in known
        assert chosen.there[place] != chosen.here[place]
        assert chosen.answer[place] != rows.outputs[place]
        moved += 1
    assert moved > 0


def test_a_shift_of_nothing_changes_no_answer_and_a_state_replaced_at_the_top_gives_its_answer(run):
    net, rows = run.model("last"), run.rows["validation"]
    zero = np.zeros((*rows.inputs.shape, 16), dtype=np.float32)
    seen = [interventions._answers(net, rows, layer, zero) for layer in (0, 2)]
    np.testing.assert_array_equal(*seen)
    # At the last layer the answer is a linear function of the state: a shift to any symbol's embedding gives it.
    target = 5
    huge = zero + 1e3 * net.lm_head.weight[target].detach().numpy()
    norms = (net.lm_head.weight @ net.lm_head.weight[target]).argmax()
    assert (interventions._answers(net, rows, 2, huge) == int(norms)).all()


def test_random_directions_are_as_long_as_the_moves_they_control(run):
    rng = np.random.default_rng(0)
    rows = run.rows["validation"]
    seen = torch.randn(3, len(run.dataset.split("train")), 16).numpy()
    means, chosen = interventions._means(seen, run), interventions._choose(run, rng)
    shifts = interventions._shifts(means, 1, rows.inputs, chosen, rng)
    moves, random = shifts["task_and_input"], shifts["random"]
    np.testing.assert_allclose(np.linalg.norm(moves, axis=-1), np.linalg.norm(random, axis=-1), rtol=1e-5)


def test_where_no_other_task_has_an_input_nothing_is_moved(run):
    rows = run.rows["validation"]
    nowhere = np.full(rows.inputs.shape, -1)
    alone = interventions._Moves(nowhere, nowhere, nowhere)
    means = interventions._Means({}, {0: np.zeros((3, 16), np.float32)})
    for shift in interventions._shifts(means, 1, rows.inputs, alone, np.random.default_rng(0)).values():
        assert shift.shape == (*rows.inputs.shape, 16)
        assert not shift.any()


def test_means_are_over_the_right_instances(run):
    frame = run.dataset.split("train")
    states = np.zeros((1, len(frame), 2), dtype=np.float32)
    states[0, :, 0] = frame["task"]
    states[0, :, 1] = run.dataset.inputs("train")
    means = interventions._means(states, run)
    for (task, x), mean in means.pair.items():
        assert mean[0].tolist() == [task, x]
    for mean in means.task.values():
        assert mean[0, 1] == pytest.approx(0, abs=1e-4), "the input's part is gone"
