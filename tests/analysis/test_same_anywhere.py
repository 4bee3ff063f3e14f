"""The same tables on any number of threads, wherever arrays lie in memory, and under load."""

import contextlib
import multiprocessing
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import CPU32, TINY
from threadpoolctl import threadpool_limits

from helpers import device
from helpers.analysis import alternatives, measure
from helpers.analysis.scores import matched_f1, score
from helpers.device import cores
from helpers.gpt import train
from helpers.gpt.records import EpochRecord
from helpers.profiles import resolve


@pytest.fixture(scope="module")
def few():
    return resolve("smoke", f"{TINY} training.log_every=4")  # few epochs: each is analysed five times


@pytest.fixture(scope="module")
def trained(few, dataset):
    return train.train(few.run(16, 0), dataset, CPU32, progress=lambda epochs, **_: epochs)


def analysed(run, settings, jobs=1) -> dict[str, pd.DataFrame]:
    shutil.rmtree(run.folder / "clustering", ignore_errors=True)  # kept scores would be read back
    return measure.everything(run, settings.clustering, settings.tsne, settings.neighbours, jobs=jobs)


@pytest.fixture(scope="module")
def expected(trained, few):
    with threadpool_limits(1):
        return analysed(trained, few)


@contextlib.contextmanager
def elsewhere():
    """States lie 8 bytes off what NumPy aligns to."""
    states = EpochRecord.states

    def moved(record, split):
        there = states(record, split)
        room = np.empty(there.nbytes + 64, np.uint8)
        start = -room.ctypes.data % 64 + 8
        copy = np.frombuffer(room.data, there.dtype, there.size, start).reshape(there.shape)
        copy[:] = there
        return copy

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EpochRecord, "states", moved)
        yield


@contextlib.contextmanager
def load():
    busy = [multiprocessing.get_context("spawn").Process(target=_spin, daemon=True) for _ in range(max(1, cores() - 1))]
    for one in busy:
        one.start()
    try:
        yield
    finally:
        for one in busy:
            one.kill()


def _spin():
    while True:
        pass


@pytest.mark.parametrize(
    "circumstance", [lambda: threadpool_limits(2), elsewhere, load], ids=["threads", "moved", "load"]
)
def test_circumstances_do_not_change_a_table(trained, few, expected, circumstance):
    with circumstance():
        same_tables(analysed(trained, few), expected)


def test_processes_side_by_side_give_the_same_tables(trained, few, expected, monkeypatch):
    monkeypatch.setattr(device, "FEW", 0)
    same_tables(analysed(trained, few, jobs=2), expected)


def same_tables(found, expected):
    for name, table in expected.items():
        pd.testing.assert_frame_equal(found[name], table, check_exact=False, rtol=0, atol=1e-9, obj=name)


def test_rounding_does_not_choose_among_equally_good_eigenvectors():
    """Eight groups that are copies of one another, and five clusters: eight smallest eigenvalues are equal."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=(12, 8))
    points = np.concatenate([one + 40 * rng.normal(size=8) for _ in range(8)])
    expected, rng = alternatives.spectral(points, 5, 0), np.random.default_rng(1)
    for trial in range(60):
        turned = points @ np.linalg.qr(rng.normal(size=(8, 8)))[0]  # the same distances, rounded otherwise
        assert matched_f1(expected, alternatives.spectral(turned, 5, 0)) == 1, trial


def test_equal_clusterings_tie_whatever_the_order_of_the_sums():
    rng = np.random.default_rng(0)
    for _ in range(50):
        labels, clusters, names = rng.integers(0, 7, 180), rng.integers(0, 7, 180), rng.permutation(7)
        assert score(labels, clusters) == score(names[labels], rng.permutation(7)[clusters])
