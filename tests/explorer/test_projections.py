import itertools

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA

from helpers.explorer import projections


@pytest.fixture
def epochs():
    """Three clusters that part over five epochs, in ten dimensions, each epoch turned at random."""
    rng = np.random.default_rng(0)
    centres, noise = rng.normal(size=(3, 10)), 0.05 * rng.normal(size=(30, 10))
    return [(0.2 + e) * centres[np.arange(30) % 3] + noise for e in range(5)]


def test_pca_is_one_plane_for_all_epochs(epochs):
    found = projections.pca(lambda: epochs)
    assert found.shape == (5, 30, 2)
    moved = [s + 7 for s in epochs]  # where the cloud lies is not what is looked at
    np.testing.assert_allclose(projections.pca(lambda: moved), found, atol=1e-4)
    scaled = [s - s.mean(0) for s in epochs]
    scaled = [s / np.sqrt((s**2).sum(1).mean()) for s in scaled]
    axis = np.linalg.lstsq(np.concatenate(scaled), np.concatenate(found), rcond=None)[0]
    for states, places in zip(scaled, found, strict=True):  # one map of states to places at every epoch
        np.testing.assert_allclose(states @ axis, places, atol=1e-4)
    np.testing.assert_allclose(axis.T @ axis, np.eye(2), atol=1e-3)


def test_pca_of_one_epoch_is_scikit_learns_up_to_signs(epochs):
    ours = projections.pca(lambda: epochs[-1:])[0]
    theirs = PCA(2).fit_transform(epochs[-1])
    spread = np.sqrt(((epochs[-1] - epochs[-1].mean(0)) ** 2).sum(1).mean())
    np.testing.assert_allclose(np.abs(ours) * spread, np.abs(theirs), atol=1e-3)


def test_pca_of_a_single_point_is_a_point():
    same = np.ones((4, 3))
    assert not projections.pca(lambda: [same, same]).any()


def test_tsne_keeps_instances_in_their_place_over_epochs(epochs):
    found = projections.tsne(reversed(epochs))
    assert found.shape == (5, 30, 2)
    size = pdist(found[0]).max()
    for before, after in itertools.pairwise(found):
        assert np.linalg.norm(before - after, axis=1).mean() < 0.25 * size
    fresh = [projections.tsne([s])[0] for s in epochs[-2:]]
    aligned = np.linalg.norm(found[0] - found[1], axis=1).mean()
    assert aligned <= np.linalg.norm(fresh[1] - fresh[0], axis=1).mean() + 1e-6


def test_turning_undoes_a_rotation_and_a_reflection_and_keeps_distances():
    rng = np.random.default_rng(1)
    target = rng.normal(size=(12, 2))
    turn = np.array([[0.6, 0.8], [0.8, -0.6]])  # a reflection
    found = projections.turned_onto(target @ turn + 3, target)
    np.testing.assert_allclose(found, target - target.mean(0), atol=1e-5)
    other = rng.normal(size=(12, 2))
    np.testing.assert_allclose(pdist(projections.turned_onto(other, target)), pdist(other), rtol=1e-4)


def test_to_square_has_one_scale_for_all_epochs():
    points = np.array([[[0.0, 0], [4, 1]], [[0, 0], [2, 0.5]]])
    found = projections.to_square(points, margin=0)
    assert np.abs(found).max() == 1
    assert np.linalg.norm(found[0, 1] - found[0, 0]) == pytest.approx(2 * np.linalg.norm(found[1, 1] - found[1, 0]))
    assert not projections.to_square(np.ones((1, 3, 2))).any()
