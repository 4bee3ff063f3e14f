import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from helpers.analysis import alternatives, clustering, scores, spaces
from helpers.settings import ClusteringSettings, TsneSettings
from helpers.tables import columns

LABELS, CLUSTERS = np.array([0, 0, 0, 1, 1, 1]), np.array([7, 7, 7, 7, 8, 8])
QUICK = ClusteringSettings(n_init=2), TsneSettings(perplexity=5, number_of_iterations=250)


def test_pairwise_f1_by_hand():
    # Pairs together in labels: 6; in clusters: 6 + 1; in both: 3 + 1. Precision 4/7, recall 4/6.
    assert scores.pairwise_f1(LABELS, CLUSTERS) == pytest.approx(2 * 4 / (6 + 7))


def test_bcubed_f1_by_hand():
    precision = np.mean([3 / 4, 3 / 4, 3 / 4, 1 / 4, 1, 1])
    recall = np.mean([1, 1, 1, 1 / 3, 2 / 3, 2 / 3])
    assert scores.bcubed_f1(LABELS, CLUSTERS) == pytest.approx(2 * precision * recall / (precision + recall))


def test_best_cluster_f1_lets_labels_share_a_cluster():
    # Label 0 with cluster 7: 2 * 3 / (3 + 4); label 1 with cluster 8: 2 * 2 / (3 + 2), with 7: 2 * 1 / (3 + 4).
    assert scores.best_cluster_f1(LABELS, CLUSTERS) == pytest.approx((6 / 7 + 4 / 5) / 2)
    one = np.zeros(6, dtype=int)
    assert scores.best_cluster_f1(LABELS, one) == pytest.approx(2 / 3)
    assert scores.matched_f1(LABELS, one) == pytest.approx(1 / 3)


def test_majority_f1_rewards_pure_clusters_however_many():
    assert scores.majority_f1(LABELS, np.arange(6)) == 1
    assert scores.matched_f1(LABELS, np.arange(6)) == pytest.approx(1 / 2)
    # Cluster 7 is called 0, cluster 8 is called 1: precision 3/4 and recall 1; precision 1 and recall 2/3.
    assert scores.majority_f1(LABELS, CLUSTERS) == pytest.approx((6 / 7 + 4 / 5) / 2)


@pytest.mark.parametrize("seed", range(20))
def test_majority_f1_is_scikit_learns_weighted_f1_of_the_names(seed):
    rng = np.random.default_rng(seed)
    labels, clusters = rng.integers(0, 5, 60) * 3, rng.integers(0, 9, 60)
    named = np.array([np.bincount(labels[clusters == c]).argmax() for c in clusters])
    expected = f1_score(labels, named, average="weighted", zero_division=0)
    assert scores.majority_f1(labels, clusters) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("definition", scores.DEFINITIONS)
def test_the_definitions_agree_on_a_perfect_clustering(definition):
    assert scores.DEFINITIONS[definition](LABELS, 5 - LABELS) == pytest.approx(1)


def test_spaces_use_no_label_and_keep_every_instance():
    rng = np.random.default_rng(0)
    states = (rng.normal(size=(40, 12)) * np.arange(1, 13)).astype(np.float32)
    found = spaces.all_of(states, states - 1, QUICK[1], seed=0)
    assert {len(points) for points in found.values()} == {40}
    assert np.linalg.norm(found["unit_length"], axis=1) == pytest.approx(1)
    spread = [np.linalg.norm(found[v] - found[v].mean(0)) for v in ("raw", "without_first_2", "without_first_10")]
    assert spread[0] > spread[1] > spread[2] > 0
    distances = [np.linalg.norm(p[:, None] - p, axis=-1) for p in (states, found["raw"], found["centred"])]
    np.testing.assert_allclose(distances[1], distances[0], atol=1e-4)
    np.testing.assert_allclose(distances[2], distances[0], atol=1e-4)


def test_every_method_finds_clusters_that_are_there():
    truth = np.repeat([0, 1, 2], 20)
    points = 20 * np.eye(3)[truth] + np.random.default_rng(0).normal(size=(60, 3))
    for name, found in alternatives.methods(points, clustering.kmeans_of(points), 3, QUICK[0]).items():
        assert scores.matched_f1(truth, found[0]) == 1, name


def test_the_papers_way_is_the_clustering_of_notebook_03(run):
    scores = clustering.analyse(run, *QUICK, jobs=1)["clustering"]
    table = alternatives.of_run(run, scores, *QUICK, jobs=1)
    assert set(table) == set(columns("alternatives"))
    tried = alternatives.epochs(run, scores)
    assert tried[-1] == run.logged_epochs[-1]
    scores = scores[scores["epoch"].isin(tried) & (scores["layer"] > 0) & (scores["label"] == "task")]
    raw = table[(table[list(alternatives.PAPER)] == pd.Series(alternatives.PAPER)).all(axis=1)].set_index("split")["f1"]
    everywhere = scores[scores["space"] == "raw"].groupby("split")["f1"].max()
    pd.testing.assert_series_equal(raw, everywhere, check_names=False)
    for space in ("raw", "tsne", "centred"):
        way = pd.Series(alternatives.PAPER | {"space": space})
        mine = table[(table[list(way.index)] == way).all(axis=1)].set_index("split")["f1"]
        theirs = scores[scores["space"] == space].groupby("split")["f1"].max()
        pd.testing.assert_series_equal(mine, theirs, check_names=False)
    assert not table.duplicated(["split", *alternatives.PAPER]).any()
    # Labels choose among 20 starts, which KMeans' own choice need not be among; permuted labels score less.
    ways = table[(table["definition"] == "matched") & (table["clusters"] == 1)]
    wide = ways.pivot_table(index=["split", "space"], columns="method", values="f1")
    assert (wide["kmeans_best_start"] >= wide["kmeans"] - 0.1).all()
    assert (table["chance"] < table["f1"]).mean() > 0.8  # a model of width 16 after 4 epochs tells little
