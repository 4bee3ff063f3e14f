"""How well clusters fit labels: the paper's scores (appendix B), and other definitions of F1.

Labels and clusters are (N,) numbers, one a point; which number a cluster has does not matter.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix, pair_confusion_matrix

DIGITS = 12  # decimals of a score: equal clusterings tie, in whatever order their sums were taken


def matched_f1(labels: np.ndarray, clusters: np.ndarray) -> float:
    """F1 after matching clusters to labels one-to-one, averaged over labels by size (appendix B).

    The matching maximises the number of points on which both agree (Hungarian algorithm), and of several such
    matchings takes one with the highest F1, so that the clusters' numbers do not matter. A label that no cluster is
    matched to scores 0.

    Args:
        labels, clusters: (N,) any hashable numbers.
    """
    table = contingency_matrix(labels, clusters)  # (labels, clusters)
    sizes = table.sum(1, keepdims=True)
    f1 = 2 * table / (sizes + table.sum(0)) * sizes / sizes.sum()  # what a matched pair adds to the average
    # All pairs together add at most 1, and half of that decides only between equal numbers of points.
    matched = linear_sum_assignment(table + f1 / 2, maximize=True)
    return rounded(f1[matched].sum())


def rounded(score: float) -> float:
    """A score without the last digits, in which the order of a sum shows."""
    return round(float(score), DIGITS)


def score(labels: np.ndarray, clusters: np.ndarray) -> dict[str, float]:
    """Matched F1, ARI and AMI of a clustering against labels, both (N,)."""
    return {
        "f1": matched_f1(labels, clusters),
        "ari": rounded(adjusted_rand_score(labels, clusters)),
        "ami": rounded(adjusted_mutual_info_score(labels, clusters)),
    }


def _each_f1(labels: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """F1 of every label against every cluster, (labels, clusters)."""
    table = contingency_matrix(labels, clusters)
    return 2 * table / (table.sum(1, keepdims=True) + table.sum(0))


def best_cluster_f1(labels: np.ndarray, clusters: np.ndarray) -> float:
    """F1 of each label with whichever cluster fits it best, weighted by size; several labels may share a cluster."""
    sizes = np.unique(labels, return_counts=True)[1]
    return rounded(np.average(_each_f1(labels, clusters).max(1), weights=sizes))


def majority_f1(labels: np.ndarray, clusters: np.ndarray) -> float:
    """F1 of calling every point what most of its cluster is, weighted by size; rewards many clusters."""
    table = contingency_matrix(labels, clusters)
    called = np.zeros((len(table), len(table)), table.dtype)  # (labels, what their points are called)
    np.add.at(called.T, table.argmax(0), table.T)
    f1 = 2 * called.diagonal() / (called.sum(1) + called.sum(0))
    return rounded(np.average(f1, weights=called.sum(1)))


def pairwise_f1(labels: np.ndarray, clusters: np.ndarray) -> float:
    """F1 over pairs of points: same label predicted by same cluster."""
    (_, false_positive), (false_negative, true_positive) = pair_confusion_matrix(labels, clusters)
    return rounded(2 * true_positive / (2 * true_positive + false_positive + false_negative))


def bcubed_f1(labels: np.ndarray, clusters: np.ndarray) -> float:
    """B-cubed F1: precision and recall of each point's cluster, averaged over points."""
    table = contingency_matrix(labels, clusters).astype(float)
    precision = (table**2 / table.sum(0)).sum() / table.sum()
    recall = (table**2 / table.sum(1, keepdims=True)).sum() / table.sum()
    return rounded(2 * precision * recall / (precision + recall))


DEFINITIONS = {
    "matched": matched_f1,
    "pairwise": pairwise_f1,
    "bcubed": bcubed_f1,
    "best_cluster": best_cluster_f1,
    "majority": majority_f1,
}
