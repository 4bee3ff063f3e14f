"""Two-dimensional projections of hidden states that are comparable over training.

A projection fitted to each epoch alone turns, mirrors and swaps clusters at random: motion from one to the next means
nothing. Both methods here keep epochs comparable:

- `pca`: one plane for all epochs of a layer, the first two principal axes of their states together. Each epoch is
  centred and scaled to the same spread, since growing states would hide everything else. A point moves only if its
  state moves relative to the others.
- `tsne`: the last epoch starts from its PCA. Every earlier epoch starts from the one after it, and is then turned or
  mirrored onto that, without scaling. Instances that stay neighbours stay in place; as always with t-SNE, large
  distances mean little.
"""

from collections.abc import Callable, Iterable

import numpy as np
from scipy.linalg import orthogonal_procrustes
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from helpers.analysis import tsne as exact_tsne

METHODS = {"pca": "PCA", "tsne": "t-SNE"}
PERPLEXITY = 10  # Table 5's
MOST_EXACT = 10_000  # points up to which the exact method is the faster one, and P fits into memory
FIRST_ITERATIONS, ITERATIONS = 1000, 300  # from PCA, and from the epoch after it
Epochs = Callable[[], Iterable[np.ndarray]]  # states (N, D) of each epoch in turn, as often as asked


def pca(epochs: Epochs) -> np.ndarray:
    """One plane for all epochs.

    Args:
        epochs: gives the states (N, D) of each epoch; called twice, so that one epoch at a time is in memory.

    Returns:
        (epochs, N, 2) float32; the axes' signs are such that the largest coordinate of each axis is positive.
    """
    covariance = sum(scaled.T @ scaled for scaled in map(_scaled, epochs()))
    axes = np.linalg.eigh(covariance)[1][:, ::-1][:, :2]
    if axes.shape[1] < 2:
        axes = np.hstack([axes, np.zeros_like(axes)])
    axes *= np.where(axes[np.abs(axes).argmax(0), [0, 1]] < 0, -1, 1)
    return np.stack([_scaled(s) @ axes for s in epochs()]).astype(np.float32)


def _scaled(states: np.ndarray) -> np.ndarray:
    """Centred, and with a mean squared length of 1; a single point stays one."""
    centred = (states - states.mean(0)).astype(float)
    spread = np.sqrt((centred**2).sum(1).mean())
    return centred / (spread if spread > 0 else 1)


def tsne(epochs: Iterable[np.ndarray], seed: int = 0, progress: Callable[[int], None] = lambda done: None):
    """t-SNE of each epoch, each starting from the one after it.

    Args:
        epochs: states (N, D) of each epoch, the last one first.
        progress: told how many epochs are done.

    Returns:
        (epochs, N, 2) float32, the last one first.
    """
    found: list[np.ndarray] = []
    with threadpool_limits(1):
        for states in epochs:
            found.append(_tsne_from(states, found[-1] if found else None, seed))
            progress(len(found))
    return np.stack(found)


def _tsne_from(states: np.ndarray, start: np.ndarray | None, seed: int) -> np.ndarray:
    """One epoch (N, 2): from its PCA, or from the places `start` (N, 2) of the epoch after it and turned onto them."""
    if len(states) < 4:
        return np.zeros((len(states), 2), dtype=np.float32)
    if start is None or np.ptp(start) == 0:
        embedded = fit_tsne(states, "pca", 12.0, FIRST_ITERATIONS, seed)
        return embedded - embedded.mean(0)
    # Exaggeration would tear the start apart again.
    return turned_onto(fit_tsne(states, start, 1.0, ITERATIONS, seed), start)


def fit_tsne(
    states: np.ndarray, start: str | np.ndarray, exaggeration: float, iterations: int, seed: int
) -> np.ndarray:
    """t-SNE (N, 2) of states (N, D) from their PCA ("pca") or from places (N, 2)."""
    perplexity = min(PERPLEXITY, (len(states) - 1) / 3)
    if len(states) <= MOST_EXACT:
        return exact_tsne.fit(states, 2, perplexity, iterations, start, seed, exaggeration)
    options = {"early_exaggeration": exaggeration, "max_iter": iterations, "random_state": seed, "n_jobs": 1}
    return TSNE(2, perplexity=perplexity, init=start, **options).fit_transform(states)


def turned_onto(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Points (N, 2), centred, and rotated or mirrored, not scaled, to lie as near to `target` (N, 2) as they can."""
    centred = points - points.mean(0)
    rotation, _ = orthogonal_procrustes(centred, target - target.mean(0))
    return (centred @ rotation).astype(np.float32)


def to_square(points: np.ndarray, margin: float = 0.05) -> np.ndarray:
    """Points (..., 2) in the square from -1 to 1, with one scale and one origin for all of them."""
    flat = points.reshape(-1, 2)
    low, high = flat.min(0), flat.max(0)
    half = (high - low).max() / 2
    return ((points - (low + high) / 2) / (half if half > 0 else 1) * (1 - margin)).astype(np.float32)
