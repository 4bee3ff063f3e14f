"""t-SNE of up to a few thousand points, exact, on one thread.

van der Maaten and Hinton (2008), "Visualizing Data using t-SNE", with the settings, schedule and stopping rules of
scikit-learn's `TSNE(method="exact")`: early exaggeration for 250 iterations, momentum 0.5 then 0.8, a gain for each
coordinate, learning rate max(N / exaggeration / 4, 50), a look every 50 iterations at whether to stop.

In three dimensions scikit-learn's Student's t has two degrees of freedom, and its forces carry the weight
(1 + r^2 / 2)^-1.5 where the derivative of the divergence has (1 + r^2 / 2)^-1: it follows van der Maaten (2009),
"Learning a Parametric Embedding by Preserving Local Structure". The forces here are scikit-learn's. In one and two
dimensions both are the same.

A fit is bits alike on every run. Nothing is summed in parallel, and no sum is reordered to suit vector registers: they
hold several points, each of which adds up the others one after another. What remains to differ between kinds of
processors is the last digit of the start (LAPACK) and of `exp`; both are rounded to float32.
"""

from collections.abc import Callable

import numpy as np
from numba import njit
from threadpoolctl import threadpool_limits

EARLY, MOMENTA = 250, (0.5, 0.8)  # iterations with exaggeration; momentum with it and after
CHECK, PATIENCE, LEAST_NORM = 50, 300, 1e-7  # when to stop: looks every, iterations without progress, gradient norm
ENTROPY_ERROR = 1e-5  # in the entropy of a row's neighbours, in nats
START = 1e-4  # standard deviation of the start's first coordinate
WIDTH = 32  # rows are padded to a multiple, so that vector registers are full


def fit(
    states: np.ndarray,
    components: int = 3,
    perplexity: float = 10,
    iterations: int = 2000,
    init: str | np.ndarray = "pca",
    seed: int = 0,
    exaggeration: float = 12,
) -> np.ndarray:
    """The t-SNE embedding of states under Euclidean distance.

    Args:
        states: (N, D), finite. Pass them as they are: states that coincide stay together, which a rotation of them,
            rounded, would not.
        components: 1 to 3.
        perplexity: effective number of neighbours, at least 1 and below N - 1.
        iterations: at least 250.
        init: "pca", "random" or the start itself (N, components), for instance the embedding of another epoch.
        seed: of the random start; nothing else is drawn.
        exaggeration: factor on attraction in the first 250 iterations; 1 where `init` is to be kept to.

    Returns:
        (N, components) float32; zeros if all states coincide.

    Raises:
        ValueError: an argument is out of range.
    """
    if components not in (1, 2, 3):
        raise ValueError(f"components={components}: must be 1, 2 or 3")
    if iterations < EARLY:
        raise ValueError(f"iterations={iterations}: must be at least {EARLY}")
    p = affinities(states, perplexity)
    n, padded = p.shape
    if (states == states[0]).all():
        return np.zeros((n, components), np.float32)
    y = np.zeros((3, padded), np.float32)
    y[:components, :n] = _start(states, components, init, seed).T
    freedom, rate = max(components - 1, 1), max(n / exaggeration / 4, 50.0)
    done = _descend(p, y, 0, EARLY, EARLY, float(exaggeration), MOMENTA[0], rate, freedom)
    _descend(p, y, done, iterations, PATIENCE, 1.0, MOMENTA[1], rate, freedom)
    return y[:components, :n].T.copy()


def warm_up() -> None:
    """Compile, so that worker processes started after this find all of it compiled."""
    fit(np.eye(20, dtype=np.float32), iterations=EARLY)


def affinities(states: np.ndarray, perplexity: float) -> np.ndarray:
    """The symmetric joint probabilities of neighbours of states (N, D): (N, N padded) float32, zeros in the padding."""
    if states.ndim != 2 or not np.isfinite(states).all():
        raise ValueError("states must be a finite (N, D) array")
    n = len(states)
    if not 1 <= perplexity < n - 1:
        raise ValueError(f"perplexity={perplexity:g} must be at least 1 and below N - 1 for N={n} points; lower it")
    p = np.zeros((n, -(-n // WIDTH) * WIDTH), np.float32)
    _squared_distances(np.ascontiguousarray(states.T, dtype=np.float32), p)
    _conditional(p, float(perplexity))
    _symmetric(p)
    return p


def divergence(p: np.ndarray, embedding: np.ndarray) -> float:
    """Kullback-Leibler divergence of an embedding (N, d) from `affinities` (N, N padded), in nats."""
    return _divergence(p, _in_rows(p, embedding), max(embedding.shape[1] - 1, 1))


def gradient(p: np.ndarray, embedding: np.ndarray, exaggeration: float = 1) -> np.ndarray:
    """What the descent follows, (N, d) float32, at an embedding (N, d); `affinities` are (N, N padded)."""
    sums, freedom = np.zeros((7, p.shape[1]), np.float32), max(embedding.shape[1] - 1, 1)
    total = _forces(p, _in_rows(p, embedding), sums, freedom)
    attraction, repulsion = sums[:3, : len(p)].astype(float), sums[3:6, : len(p)].astype(float)
    force = 2 * (freedom + 1) / freedom * (exaggeration * attraction - repulsion / total)
    return force[: embedding.shape[1]].T.astype(np.float32)


def _in_rows(p: np.ndarray, embedding: np.ndarray) -> np.ndarray:
    y = np.zeros((3, p.shape[1]), np.float32)
    y[: embedding.shape[1], : len(p)] = embedding.T
    return y


def _start(states: np.ndarray, components: int, init: str | np.ndarray, seed: int) -> np.ndarray:
    """Where the descent starts, (N, components)."""
    n = len(states)
    if not isinstance(init, str):
        if np.shape(init) != (n, components) or not np.isfinite(init).all():
            raise ValueError(f"init must be a finite {(n, components)} array, not one of {np.shape(init)}")
        return init
    if init == "random":
        return START * np.random.default_rng(seed).standard_normal((n, components))
    if init != "pca":
        raise ValueError(f'init={init!r}: must be "pca", "random" or an array')
    centred = states - states.mean(0, dtype=float)
    with threadpool_limits(1, user_api="blas"):
        square = centred @ centred.T if n < centred.shape[1] else centred.T @ centred
        values, axes = (found[..., ::-1][..., :components] for found in np.linalg.eigh(square))
        scores = axes * np.sqrt(values.clip(0)) if len(square) == n < centred.shape[1] else centred @ axes
    scores *= values > 1e-12 * values[0]  # beyond the rank of the states there is only rounding
    scores *= np.where(scores[np.abs(scores).argmax(0), range(scores.shape[1])] < 0, -1, 1)
    return np.pad(scores / scores[:, 0].std() * START, ((0, 0), (0, components - scores.shape[1])))


def _compiled(function: Callable) -> Callable:
    """Compiled at the first call and kept in __pycache__ or, if that is read-only, in the user's cache folder."""
    options = {"error_model": "numpy", "nogil": True}  # no check for division by zero, which bars vector registers
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder can be written to: compiled anew by each process
        return njit(**options)(function)


@_compiled
def _squared_distances(x, out):
    """Squared distances of the columns of x (D, N) into out (N, N or more)."""
    d, n = x.shape
    for j in range(n):
        row = np.zeros(n)
        for k in range(d):
            values, at = x[k], np.float64(x[k, j])
            for i in range(j):
                row[i] += (values[i] - at) ** 2
        for i in range(j):
            out[i, j] = out[j, i] = row[i]


@_compiled
def _conditional(p, perplexity):
    """Turns squared distances (N, N or more), in place, into the probabilities of neighbours given a point.

    Each row's Gaussian is as wide as gives it the perplexity, by bisection. Where more points coincide than that, no
    width does, and the narrowest found shares the row out among them.
    """
    n, target = len(p), np.log(perplexity)
    for i in range(n):
        row = p[i, :n]
        row[i] = np.inf
        nearest = np.float64(row.min())
        row[i] = nearest
        spread = row.mean() - nearest
        low, high, beta = 0.0, np.inf, 1 / spread if spread > 0 else 1.0
        for _ in range(100):
            total, moment = 0.0, 0.0
            for j in range(n):
                energy = beta * (row[j] - nearest)
                if energy < 50 and j != i:
                    weight = np.exp(-energy)
                    total += weight
                    moment += weight * energy
            entropy = np.log(total) + moment / total
            if abs(entropy - target) <= ENTROPY_ERROR:
                break
            if entropy > target:
                low, beta = beta, (2 * beta if high == np.inf else (beta + high) / 2)
            else:
                high, beta = beta, (low + beta) / 2
        for j in range(n):
            row[j] = np.exp(-beta * (row[j] - nearest)) / total
        row[i] = 0


@_compiled
def _symmetric(p):
    """Joint probabilities, in place, from conditional ones (N, N or more); none is below float64's epsilon."""
    n = len(p)
    for j in range(n):
        for i in range(j):
            p[i, j] = p[j, i] = max((np.float64(p[i, j]) + p[j, i]) / (2 * n), 2.220446049250313e-16)


@_compiled
def _forces(p, y, sums, freedom):
    """Attraction (3 rows), repulsion (3) and weight (1) of all points on each, into sums (7, M); the weights' sum.

    Args:
        p: (N, M) joint probabilities.
        y: (3, M) the embedding, one row a coordinate.
        freedom: degrees of freedom of Student's t, 1 or 2.
    """
    n, padded = p.shape
    one, inverse = np.float32(1), np.float32(1 / freedom)
    y0, y1, y2 = y[0], y[1], y[2]
    a0, a1, a2, r0, r1, r2, weights = sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6]
    sums[:] = 0
    for j in range(n):
        at0, at1, at2, near, before = y0[j], y1[j], y2[j], p[j], weights[j]
        for i in range(padded):
            d0, d1, d2 = y0[i] - at0, y1[i] - at1, y2[i] - at2
            t = one + inverse * (d0 * d0 + d1 * d1 + d2 * d2)
            weight = one / (t if freedom == 1 else t * np.sqrt(t))
            attract, repel = near[i] * weight, weight * weight
            a0[i] += attract * d0
            a1[i] += attract * d1
            a2[i] += attract * d2
            r0[i] += repel * d0
            r1[i] += repel * d1
            r2[i] += repel * d2
            weights[i] += weight
        weights[j] = before  # without the point itself
    total = 0.0
    for i in range(n):
        total += weights[i]
    return total


@_compiled
def _divergence(p, y, freedom):
    """Kullback-Leibler divergence, for p (N, M) and y (3, M)."""
    n, mass, total, error = len(p), 0.0, 0.0, 0.0
    for j in range(n):
        for i in range(j):
            d0, d1, d2 = y[0, i] - y[0, j], y[1, i] - y[1, j], y[2, i] - y[2, j]
            t = 1 + np.float64(d0 * d0 + d1 * d1 + d2 * d2) / freedom
            total += 1 / (t if freedom == 1 else t * np.sqrt(t))
            error += p[j, i] * np.log(p[j, i] * (t if freedom == 1 else t * np.sqrt(t)))
            mass += p[j, i]
    return 2 * (error + mass * np.log(2 * total))


@_compiled
def _descend(p, y, first, last, patience, exaggeration, momentum, rate, freedom):
    """Moves y (3, M) in place from iteration `first` on to before `last`; the iteration after the last one done."""
    n, padded = p.shape
    sums = np.zeros((7, padded), np.float32)
    change, gains = np.zeros((3, n), np.float32), np.ones((3, n), np.float32)
    scale, best, best_at, it = 2.0 * (freedom + 1) / freedom, np.inf, first, first
    for it in range(first, last):
        total = _forces(p, y, sums, freedom)
        look = (it + 1) % CHECK == 0
        error = _divergence(p, y, freedom) if look else 0.0
        norm = 0.0
        for c in range(3):
            for i in range(n):
                slope = scale * (exaggeration * sums[c, i] - sums[3 + c, i] / total)
                gain = gains[c, i] + 0.2 if change[c, i] * slope < 0 else gains[c, i] * 0.8
                gains[c, i] = max(gain, 0.01)
                slope *= gains[c, i]
                norm += slope * slope
                change[c, i] = momentum * change[c, i] - rate * slope
                y[c, i] += change[c, i]
        if look:
            if error < best:
                best, best_at = error, it
            elif it - best_at > patience:
                break
            if np.sqrt(norm) <= LEAST_NORM:
                break
    return it + 1
