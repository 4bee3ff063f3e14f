"""The record of a logged epoch: hidden states, answers and nearest training states (sections 3.2, 3.3)."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from helpers import store
from helpers.device import Device, cores
from helpers.gpt.batches import Rows
from helpers.gpt.observe import Observation, observe
from helpers.tables import SPLITS

CHUNK = 8192  # training instances compared at a time: memory stays flat as the training set grows


class Neighbours(NamedTuple):
    """The K nearest training states of each of Q queries, nearest first.

    A query that is a training instance itself is its own nearest one.
    """

    index: np.ndarray  # (layers, Q, K) int32, row in the frame of the training split
    distance: np.ndarray  # (layers, Q, K) float32, Euclidean


class Means(NamedTuple):
    """Mean training state of every symbol that occurs as an input."""

    mean: np.ndarray  # (layers, V, D) float32, zero where the symbol never occurs
    count: np.ndarray  # (V,) int32


def compare_with_training(
    model, train: Rows, queries: np.ndarray, k: int, vocabulary_size: int, where: Device, half=None
) -> tuple[Neighbours, Means]:
    """Nearest training states of `queries`, and the mean training state of each input.

    Exact: training states are computed in chunks, each chunk's nearest are found by comparison with all of them, in
    float64, and merged. Chunks are drawn in a fixed random order, so that equal distances (at layer 0, states of one
    input and length coincide) do not favour the tasks that come first.

    Args:
        queries: (layers, Q, D) states to look neighbours up for.
        k: neighbours to keep, at most the number of training instances.
    """
    layers, q, width = queries.shape
    index = np.zeros((layers, q, 0), dtype=np.int32)
    distance = np.zeros((layers, q, 0), dtype=np.float32)
    total = np.zeros((layers, vocabulary_size, width))
    count = np.zeros(vocabulary_size, dtype=np.int32)
    m = train.inputs.shape[1]
    order = np.random.default_rng(0).permutation(len(train))
    per_chunk = max(1, CHUNK // m)
    for start in range(0, len(order), per_chunk):
        part = order[start : start + per_chunk]
        seen = observe(model, train, where, half, part)
        inputs = train.inputs[part].ravel()
        one_hot = (inputs == np.arange(vocabulary_size)[:, None]).astype(np.float32)  # (V, instances)
        total += one_hot @ seen.states
        count += one_hot.sum(1).astype(np.int32)
        found = [_nearest(seen.states[layer], queries[layer], k, where) for layer in range(layers)]
        rows = train.instance[part].ravel()
        index = np.concatenate([index, np.stack([rows[f[1]] for f in found]).astype(np.int32)], -1)
        distance = np.concatenate([distance, np.stack([f[0] for f in found]).astype(np.float32)], -1)
        best = np.argsort(distance, -1, kind="stable")[..., :k]
        index, distance = np.take_along_axis(index, best, -1), np.take_along_axis(distance, best, -1)
    mean = (total / np.maximum(count, 1)[None, :, None]).astype(np.float32)
    return Neighbours(index, distance), Means(mean, count)


def _nearest(states: np.ndarray, queries: np.ndarray, k: int, where: Device) -> tuple[np.ndarray, np.ndarray]:
    """Distances and numbers (Q, k) of the nearest states, by scikit-learn, or on a GPU in the same way."""
    k = min(k, len(states))
    if where.device.type == "cuda":
        return _nearest_by_torch(*(torch.from_numpy(a).to(where.device) for a in (states, queries)), k)
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(states)
    with threadpool_limits(cores()):
        return search.kneighbors(queries)


def _nearest_by_torch(states: torch.Tensor, queries: torch.Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    states, queries = states.double(), queries.double()
    square = (queries**2).sum(1, keepdim=True) + (states**2).sum(1) - 2 * queries @ states.T
    found = square.clamp_(min=0).topk(k, largest=False)
    return found.values.sqrt().cpu().numpy(), found.indices.cpu().numpy()


class EpochRecord(NamedTuple):
    """What is kept of one logged epoch."""

    subset: Observation
    validation: Observation
    neighbours: dict[str, Neighbours]  # of subset and validation
    means: Means

    def states(self, split: str) -> np.ndarray:
        """States of subset or validation, (layers, K, D) float32."""
        return getattr(self, split).states

    def centred(self, split: str, inputs: np.ndarray) -> np.ndarray:
        """States less the mean training state of their input token; uses no task label.

        Args:
            inputs: (K,) symbol number of each instance's input.
        """
        return self.states(split) - self.means.mean[:, inputs]


def record(model, rows: dict[str, Rows], k: int, vocabulary_size: int, where: Device, half=None) -> EpochRecord:
    """Observe both evaluation sets and compare them with training."""
    seen = {name: observe(model, rows[name], where, half) for name in SPLITS}
    queries = np.concatenate([seen[name].states for name in SPLITS], 1)
    k = min(k, rows["train"].instance.size)
    found, means = compare_with_training(model, rows["train"], queries, k, vocabulary_size, where, half)
    first = seen["subset"].states.shape[1]
    parts = {"subset": slice(None, first), "validation": slice(first, None)}
    neighbours = {name: Neighbours(found.index[:, part], found.distance[:, part]) for name, part in parts.items()}
    return EpochRecord(**seen, neighbours=neighbours, means=means)


def save_record(path: Path, kept: EpochRecord) -> None:
    """Write one logged epoch as safetensors; states in float16."""
    arrays = {"means.mean": kept.means.mean, "means.count": kept.means.count}
    for name in SPLITS:
        seen = getattr(kept, name)
        arrays[f"{name}.neighbours.index"] = kept.neighbours[name].index
        arrays[f"{name}.neighbours.distance"] = kept.neighbours[name].distance
        arrays[f"{name}.states"] = seen.states.astype(np.float16)
        arrays[f"{name}.predictions"] = seen.predictions.astype(np.int32)
        arrays[f"{name}.correct"] = seen.correct
    with store.replacing(path) as temporary:
        save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, temporary)


def load_record(path: Path) -> EpochRecord:
    """Read one logged epoch; raises store.ArtefactError naming the file where it is missing or broken."""
    try:
        a = load_file(path)
    except FileNotFoundError:
        raise store.ArtefactError(f"{path} is missing; run notebook 02 (make reproduce) again") from None
    except Exception as error:  # safetensors raises its own type for a broken header or a short file
        raise store.ArtefactError(f"{path} is broken ({error}); delete its run and run notebook 02 again") from error
    seen = {
        n: Observation(a[f"{n}.states"].astype(np.float32), a[f"{n}.predictions"], a[f"{n}.correct"]) for n in SPLITS
    }
    neighbours = {n: Neighbours(a[f"{n}.neighbours.index"], a[f"{n}.neighbours.distance"]) for n in SPLITS}
    return EpochRecord(**seen, neighbours=neighbours, means=Means(a["means.mean"], a["means.count"]))
