import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from helpers.analysis import neighbours


def test_share_and_vote_by_hand():
    tasks = np.array([[1, 1, 2], [3, 1, 1]])
    share = neighbours.same_task_share(tasks, np.array([1, 1]))
    np.testing.assert_allclose(share, [(1 + 0) / 2, (1 + 0.5) / 2, (2 / 3 + 2 / 3) / 2])
    outputs = np.array([[4, 5, 5], [6, 7, 8]])
    truth = np.array([5, 6])
    # One vote: 4 (wrong), 6 (right). Two: ties go to the nearest, 4 and 6. Three: 5 has two votes, 6 is the nearest.
    np.testing.assert_allclose(neighbours.vote_accuracy(outputs, truth, (1, 2, 3)), [0.5, 0.5, 1.0])


def test_vote_agrees_with_scikit_learn_where_no_tie_occurs():
    rng = np.random.default_rng(0)
    train, labels, queries = rng.normal(size=(300, 4)), rng.integers(0, 2, 300), rng.normal(size=(80, 4))
    truth = rng.integers(0, 2, 80)
    model = KNeighborsClassifier(7).fit(train, labels)
    index = model.kneighbors(queries, return_distance=False)
    expected = (model.predict(queries) == truth).mean()
    assert neighbours.vote_accuracy(labels[index], truth, (7,))[0] == pytest.approx(expected)


def test_analysis_covers_epochs_layers_and_ks(run, dataset):
    table = neighbours.analyse(run, (1, 5, 12))
    assert len(table) == 5 * 3 * 3
    assert table[["same_task", "accuracy"]].stack().between(0, 1).all()
    index = run.record(4).neighbours["validation"].index[2]
    train, held_out = dataset.split("train"), dataset.split("validation")
    expected = np.mean([(train["task"].iloc[i[:5]] == t).mean() for i, t in zip(index, held_out["task"], strict=True)])
    row = table.query("epoch == 4 and layer == 2 and k == 5")
    assert row["same_task"].item() == pytest.approx(expected)
