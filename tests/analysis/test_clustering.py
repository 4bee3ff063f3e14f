import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.metrics import f1_score
from sklearn.metrics.pairwise import euclidean_distances

from helpers.analysis import clustering, scores, spaces
from helpers.settings import ClusteringSettings, TsneSettings


def test_matched_f1_by_hand():
    # Cluster 7 holds 3 of a and 1 of b, cluster 8 holds 2 of b: F1 of a is 6/7, of b 4/5; sizes 3 and 3.
    labels = np.array([0, 0, 0, 1, 1, 1])
    clusters = np.array([7, 7, 7, 7, 8, 8])
    assert scores.matched_f1(labels, clusters) == pytest.approx((6 / 7 + 4 / 5) / 2)


def test_matched_f1_is_sklearns_under_the_best_relabelling():
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels, clusters = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
        named = [np.array(p)[clusters] for p in itertools.permutations(range(4))]
        expected = max(((n == labels).sum(), f1_score(labels, n, average="weighted")) for n in named)[1]
        assert scores.matched_f1(labels, clusters) == pytest.approx(expected)


def test_matched_f1_with_fewer_clusters_than_labels_scores_the_unmatched_zero():
    assert scores.matched_f1(np.array([0, 0, 1, 1]), np.zeros(4)) == pytest.approx(0.5 * 2 * 2 / (2 + 4))


def test_scores_are_one_for_a_renamed_copy_and_near_zero_for_chance():
    labels = np.repeat(np.arange(5), 40)
    assert scores.score(labels, (labels + 3) % 5) == {"f1": 1.0, "ari": 1.0, "ami": 1.0}
    chance = scores.score(labels, np.random.default_rng(0).integers(0, 5, 200))
    assert abs(chance["ari"]) < 0.05
    assert abs(chance["ami"]) < 0.05


@pytest.mark.parametrize("shape", [(60, 500), (60, 40)])
def test_the_reduction_keeps_every_distance_and_so_every_cluster(shape):
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(6, shape[1]))
    points = np.repeat(centres, 10, 0) + 0.8 * rng.normal(size=shape)
    reduced = spaces.same_distances(points)
    assert reduced.shape == (60, min(shape))
    gram = [np.linalg.norm(p[:, None] - p[None], axis=-1) for p in (points, reduced)]
    np.testing.assert_allclose(*gram, rtol=1e-9, atol=1e-9)
    plain = KMeans(6, n_init=10, random_state=0).fit_predict(points)
    assert (clustering.kmeans(reduced, 6, ClusteringSettings()) == plain).all()


@pytest.mark.parametrize("k", [2, 30])
def test_seeds_are_those_of_scikit_learn_up_to_exact_ties(k):
    points = np.random.default_rng(k).normal(size=(80, 12))
    for draw in range(5):
        expected, _ = kmeans_plusplus(points, k, random_state=draw)
        found = clustering.seeds_from(points)(points, k, np.random.RandomState(draw))
        differ = np.flatnonzero((found != expected).any(1))
        if len(differ):
            upto = differ[0] + 1
            inertia = [euclidean_distances(points, s[:upto], squared=True).min(1).sum() for s in (found, expected)]
            assert inertia[0] == pytest.approx(inertia[1], rel=1e-12)


def test_kmeans_survives_identical_points():
    points = np.zeros((20, 5))
    assert set(clustering.kmeans(points, 4, ClusteringSettings())) == {0}


def pairs():
    """Two inputs; a hard task with two instructions made from one original instruction each."""
    return pd.DataFrame(
        {
            "instruction_id": [0, 0, 1, 1, 2, 2, 3, 3],
            "input": list("xyxyxyxy"),
            "task": [0, 0, 0, 0, 1, 1, 1, 1],
            "hard": [False] * 4 + [True] * 4,
            "original": [-1] * 4 + [0, 0, 1, 1],
        }
    )


def test_hard_examples_that_part_and_that_do_not():
    frame = pairs()
    apart = np.array([[0.0], [9], [0.2], [9.2], [5], [14], [5.2], [14.2]])  # by input, then by task
    together = np.array([[0.0], [9], [1.0], [10.0], [0.1], [9.1], [1.1], [10.1]])  # hard beside its original
    assert clustering.within_input_separation(apart, frame) == 1
    assert clustering.within_input_separation(together, frame) == 0
    assert clustering.pair_separation(np.array([0, 0, 0, 0, 1, 1, 1, 1]), frame) == 1
    assert clustering.pair_separation(np.array([0, 1, 0, 1, 0, 1, 1, 1]), frame) == 0.25


def test_a_single_hard_instruction_of_a_task_has_nothing_to_be_near_to():
    frame = pairs().query("instruction_id in (0, 2)").reset_index(drop=True)
    assert np.isnan(clustering.within_input_separation(np.arange(4.0)[:, None], frame))


def test_labels_are_functions_of_each_other(dataset):
    frame = dataset.split("validation")
    labels = clustering.labels_of(frame)
    counts = {name: len(set(found)) for name, found in labels.items()}
    assert counts == {"task": 4, "distribution": 8, "distribution_mapping": 40}


def test_tsne_epochs_are_spread_over_the_logged_ones():
    assert clustering.tsne_epochs([0, 1, 2, 4, 6, 8, 10], 3) == [0, 4, 10]
    assert clustering.tsne_epochs([0, 1], None) == [0, 1]
    assert clustering.tsne_epochs([0, 1], 9) == [0, 1]


def test_tsne_refuses_a_perplexity_that_does_not_fit():
    with pytest.raises(ValueError, match=r"tsne\.perplexity=10"):
        spaces.tsne(np.zeros((8, 3)), TsneSettings(), 0)


def test_analysis_has_a_row_for_every_combination_and_is_cached(run, settings, monkeypatch):
    tables = clustering.analyse(run, settings.clustering, settings.tsne, jobs=1)
    scores = tables["clustering"]
    epochs, layers, splits, labels = 5, 3, 2, 3
    assert scores.groupby("space").size().to_dict() == {
        "raw": epochs * layers * splits * labels,
        "centred": epochs * layers * splits * labels,
        "tsne": settings.tsne.epochs * layers * splits * labels,
    }
    assert scores[["f1", "ari", "ami"]].notna().all(axis=None)
    assert len(tables["variance"]) == epochs * layers * splits * 7
    assert tables["variance"].groupby(["epoch", "layer", "split"])["share"].sum().to_numpy() == pytest.approx(1)
    broken = next(run.folder.glob("clustering/*/0002.json"), None) or next(run.folder.glob("clustering/*/0002-*.json"))
    broken.write_text("{")
    with pytest.warns(UserWarning, match=rf"{broken.name} is not readable JSON.*made again"):
        again = clustering.analyse(run, settings.clustering, settings.tsne, jobs=1)
    pd.testing.assert_frame_equal(again["clustering"], scores)
    monkeypatch.setattr(clustering, "kmeans_of", None)  # a second analysis may not compute anything
    again = clustering.analyse(run, settings.clustering, settings.tsne, jobs=1)
    pd.testing.assert_frame_equal(again["clustering"], scores)


def test_the_analysis_scores_what_a_plain_loop_would(run, settings, dataset):
    table = clustering.analyse(run, settings.clustering, settings.tsne, jobs=1)["clustering"]
    frame = dataset.split("validation")
    states = run.record(3).states("validation")[2].astype(float)
    c = settings.clustering
    clusters = KMeans(4, n_init=c.n_init, max_iter=c.max_iterations, random_state=c.seed).fit_predict(states)
    row = table.query("epoch == 3 and layer == 2 and split == 'validation' and label == 'task' and space == 'raw'")
    assert row["f1"].item() == pytest.approx(scores.matched_f1(frame["task"].to_numpy(), clusters), abs=1e-9)
