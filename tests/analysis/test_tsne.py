"""The exact t-SNE: against scikit-learn's objective, affinities and fit; hard inputs; the same bits each time."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from sklearn.manifold import TSNE
from sklearn.manifold._t_sne import _gradient_descent, _joint_probabilities, _kl_divergence

from helpers import store
from helpers.analysis import tsne


def clusters(points: int = 120, size: int = 50, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = 3 * random.normal(size=(8, size))
    return (centres[np.arange(points) % 8] + random.normal(size=(points, size)) + 20).astype(np.float32)


@pytest.mark.parametrize("components", [1, 2, 3])
def test_gradient_and_divergence_are_those_of_scikit_learn(components):
    p = tsne.affinities(clusters(), 10)
    for scale in (1e-4, 1, 30):
        y = (scale * np.random.default_rng(1).normal(size=(120, components))).astype(np.float32)
        condensed = squareform(p[:, :120].astype(float))
        error, slope = _kl_divergence(y.astype(float).ravel(), condensed, max(components - 1, 1), 120, components)
        assert tsne.divergence(p, y) == pytest.approx(error, rel=1e-5)
        assert np.abs(tsne.gradient(p, y).ravel() - slope).max() < 2e-5 * np.abs(slope).max()


def test_gradient_in_two_dimensions_is_the_slope_of_the_divergence():
    p = tsne.affinities(clusters(), 10)
    y = 2 * np.random.default_rng(1).normal(size=(120, 2)).astype(np.float32)
    up, down = y.copy(), y.copy()
    up[5, 1] += 0.02
    down[5, 1] -= 0.02
    slope = (tsne.divergence(p, up) - tsne.divergence(p, down)) / float(up[5, 1] - down[5, 1])
    assert tsne.gradient(p, y)[5, 1] == pytest.approx(slope, rel=2e-3)


def test_affinities_are_those_of_scikit_learn():
    states = clusters()
    p = tsne.affinities(states, 10)
    expected = squareform(_joint_probabilities(squareform(pdist(states, "sqeuclidean")), 10, 0))
    np.testing.assert_allclose(p[:, :120], expected, rtol=1e-3, atol=1e-12)
    assert p.sum() == pytest.approx(1, abs=1e-5)
    assert (p[:, 120:] == 0).all()
    assert (np.diag(p) == 0).all()


@pytest.mark.parametrize("scale", [1e-6, 1, 1e6])
@pytest.mark.parametrize("perplexity", [2, 10, 100])
def test_every_row_has_the_perplexity(scale, perplexity):
    states = clusters() * np.float32(scale)
    states[3] += 1000 * scale  # far out
    p = np.zeros((120, 128), np.float32)
    tsne._squared_distances(np.ascontiguousarray(states.T), p)
    tsne._conditional(p, float(perplexity))
    rows = p[:, :120].astype(float)
    entropy = -(rows * np.log(np.where(rows > 0, rows, 1))).sum(1)
    np.testing.assert_allclose(np.exp(entropy), perplexity, rtol=1e-4)
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("components", [1, 2, 3])
def test_steps_are_those_of_scikit_learn(components):
    states, steps, freedom = clusters(), 10, max(components - 1, 1)
    p = tsne.affinities(states, 10)
    start = tsne._start(states, components, "pca", 0).astype(np.float32)
    y = tsne._in_rows(p, start)
    assert tsne._descend(p, y, 0, steps, 250, 12.0, 0.5, 50.0, freedom) == steps
    condensed = 12 * squareform(p[:, :120].astype(float))
    settings = {"learning_rate": 50, "momentum": 0.5, "n_iter_check": 50, "args": [condensed, freedom, 120, components]}
    expected = _gradient_descent(_kl_divergence, start.ravel(), 0, steps, kwargs={}, **settings)[0]
    assert np.abs(y[:components, :120].T.ravel() - expected).max() < 5e-3 * expected.std()


@pytest.mark.parametrize("components", [2, 3])
def test_the_divergence_reached_is_scikit_learns(components):
    states = clusters()
    p = tsne.affinities(states, 10)
    spread = tsne.fit(states, components, iterations=400)  # from here on a rounding error no longer decides the way
    settings = {"perplexity": 10, "max_iter": 600, "method": "exact", "early_exaggeration": 1}
    theirs = TSNE(components, init=spread, **settings).fit_transform(states)
    ours = tsne.fit(states, components, iterations=600, init=spread, exaggeration=1)
    assert (ours.shape, ours.dtype) == ((120, components), np.float32)
    assert tsne.divergence(p, ours) == pytest.approx(tsne.divergence(p, theirs), rel=0.02)


def test_states_that_coincide_stay_together():
    random = np.random.default_rng(0)
    which = random.integers(0, 6, 150)  # 25 copies each: more than the perplexity
    embedded = tsne.fit(random.normal(size=(6, 40)).astype(np.float32)[which], iterations=500)
    assert np.isfinite(embedded).all()
    assert len(np.unique(embedded, axis=0)) == 6
    assert (tsne.fit(np.ones((30, 4), np.float32), 2) == np.zeros((30, 2))).all()


@pytest.mark.parametrize("init", ["pca", "random"])
def test_hard_inputs_give_finite_embeddings(init):
    states = clusters()
    states[::40] *= 1000
    states[:, 7:12] = 3
    line = np.linspace(0, 1, 40, dtype=np.float32)[:, None]
    for hard in (states, line, states[:13], states.astype(np.float64), np.eye(40), np.asfortranarray(states)):
        assert np.isfinite(tsne.fit(hard, 3, iterations=400, init=init)).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"perplexity": 119},
        {"perplexity": 0.5},
        {"components": 4},
        {"iterations": 249},
        {"init": "spectral"},
        {"init": np.zeros((120, 2))},
    ],
)
def test_bad_arguments_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        tsne.fit(clusters(), **wrong)


def test_states_that_are_not_finite_are_refused():
    states = clusters()
    states[2, 2] = np.nan
    with pytest.raises(ValueError, match="finite"):
        tsne.fit(states)


def test_the_same_bits_each_time_and_with_any_number_of_threads(tmp_path):
    states = clusters()
    np.save(tmp_path / "states.npy", states)
    program = "import sys, numpy; sys.path.insert(0, sys.argv[1]); from helpers.analysis import tsne; "
    program += "numpy.save(sys.argv[3], tsne.fit(numpy.load(sys.argv[2]), iterations=600))"
    folder = store.REPOSITORY
    for threads in ("1", "4"):
        environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        paths = [folder, tmp_path / "states.npy", tmp_path / f"{threads}.npy"]
        subprocess.run([sys.executable, "-c", program, *map(str, paths)], env=environment, check=True)
    here = tsne.fit(states, iterations=600)
    for other in (tsne.fit(states, iterations=600), np.load(tmp_path / "1.npy"), np.load(tmp_path / "4.npy")):
        assert (here == other).all()
