"""Transformations of hidden states before they are clustered, none of them with labels: the spaces.

`raw` states are as they are, and `tsne` is the paper's optional preprocessing (Table 5). `centred` states of a training
run are less the mean training state of their input symbol (`EpochRecord.centred`); those of a probe less the mean over
the probed instances (`input_centred`). The others are further ones that a reader may think of (`alternatives`).
"""

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler, normalize

from helpers.analysis import tsne as exact_tsne
from helpers.settings import TsneSettings


def same_distances(points: np.ndarray) -> np.ndarray:
    """The points (N, D) turned into (N, min(N, D)) coordinates with the same distances, exactly.

    N points span at most N dimensions, whatever D is: the triangular factor of a QR decomposition is
    a rotation of them, and KMeans sees only distances.
    """
    n, d = points.shape
    return np.linalg.qr(points.T, mode="r").T if d > n else points


def input_centred(states: np.ndarray, inputs) -> np.ndarray:
    """States (..., K, D) less the mean state of their input among these states.

    Args:
        inputs: (K,) the input of each, as numbers or words. Of use where inputs occur under several tasks.
    """
    groups, names = pd.factorize(np.asarray(inputs))
    one_hot = (groups == np.arange(len(names))[:, None]).astype(states.dtype)  # (inputs, K)
    means = one_hot @ states / one_hot.sum(1)[:, None]  # (..., inputs, D)
    return states - means[..., groups, :]


def layer_normed(states: np.ndarray) -> np.ndarray:
    """Each state of (..., D) shifted and scaled to mean 0 and variance 1; a constant one becomes 0."""
    spread = states.std(-1, keepdims=True)
    return (states - states.mean(-1, keepdims=True)) / np.where(spread > 0, spread, 1)


def tsne(points: np.ndarray, settings: TsneSettings, seed: int) -> np.ndarray:
    """t-SNE (N, D) -> (N, components) with the settings of Table 5.

    Raises:
        ValueError: perplexity is not below the number of points less one.
    """
    if settings.perplexity >= len(points) - 1:
        most = f"{len(points) - 1}, one less than the points"
        raise ValueError(f"tsne.perplexity={settings.perplexity:g} must be below {most}; lower it")
    return exact_tsne.fit(
        points,
        settings.number_of_components,
        settings.perplexity,
        settings.number_of_iterations,
        settings.initialization_method,
        seed,
    )


def all_of(states: np.ndarray, centred: np.ndarray, settings: TsneSettings, seed: int) -> dict[str, np.ndarray]:
    """Every space that one may think of.

    Args:
        states: (N, D).
        centred: (N, D) the same less their input's mean; not made of `states` alone, to compare with.
        settings, seed: of t-SNE.

    Returns:
        name -> (N, at most N); `raw` and what is made of it, then `centred`.
    """
    embedded = tsne(states, settings, seed)
    states = states.astype(float)  # rounding must not decide which of two points KMeans draws
    points = same_distances(states)
    components = PCA(min(len(points), points.shape[1])).fit_transform(points)
    last = components.shape[1] - 1
    found = {
        "raw": points,
        "tsne": embedded,
        "layer_normed": layer_normed(states),
        "unit_length": normalize(states),
        "standardised": StandardScaler().fit_transform(states),
        "whitened": PCA(min(50, *points.shape), whiten=True).fit_transform(points),
        "without_first_2": components[:, min(2, last) :],
        "without_first_10": components[:, min(10, last) :],
        "centred": centred.astype(float),
    }
    return {name: same_distances(space) for name, space in found.items()}
