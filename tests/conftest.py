"""Artefacts of tests go to a folder of their own; a tiny data set and a tiny trained run are shared."""

import os
import shutil
import signal
import subprocess
import tempfile

os.environ["CLM_ROOT"] = tempfile.mkdtemp(prefix="clm-tests-")  # before helpers.store is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the package sets it, before torch is loaded

import pytest
import torch
from tiny_models import KINDS, make

from helpers import store
from helpers.device import Device, cores
from helpers.gpt import train
from helpers.pretrained import natural
from helpers.profiles import resolve
from helpers.task import synthetic

signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored where tests run in the background
CPU32 = Device(torch.device("cpu"), "float32", "tests compare bits")
TINY = (
    "width=16 model.number_of_heads=2 model.number_of_layers=2 training.log_every=1 training.number_of_epochs=4 "
    "training.stop_epoch=none training.neighbours=12 neighbours.sensitivity=1,5,12 neighbours.k=5"
)


@pytest.fixture(scope="session")
def settings():
    return resolve("smoke", TINY)


@pytest.fixture(scope="session")
def dataset(settings):
    made = synthetic.generate(settings.run(16, 0).data)
    synthetic.save(made)
    return made


@pytest.fixture(scope="session")
def run(settings, dataset):
    return train.train(settings.run(16, 0), dataset, CPU32, progress=lambda epochs, **_: epochs)


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A folder for each architecture of tiny_models, the weights in several safetensors shards."""
    folders = {}
    for kind in KINDS:
        net, tokens = make(kind)
        folders[kind] = tmp_path_factory.mktemp(kind)
        net.save_pretrained(folders[kind], max_shard_size="40KB")
        tokens.save_pretrained(folders[kind])
        assert len(list(folders[kind].glob("*.safetensors"))) > 1
    return folders


@pytest.fixture(scope="session")
def instances():
    """A few instances of three natural tasks."""
    return natural.draw(natural.load()[:3], pairs=4, instructions=5)


@pytest.fixture(scope="session")
def committed(tmp_path_factory):
    """What is committed; a reader's own `make reproduce` writes newer tables over it, which README need not quote."""
    root = store.REPOSITORY
    if not (root / ".git").exists():
        return root  # a download holds what was committed, and there is nothing else to ask
    folder = tmp_path_factory.mktemp("committed")
    kept = ("README.md", "docs", "data/laptop", "figures")
    archive = folder / "committed.zip"
    subprocess.run(["git", "archive", "--output", archive, "HEAD", *kept], cwd=root, check=True)
    shutil.unpack_archive(archive, folder)
    return folder


FAILED = pytest.StashKey[bool]()  # for fixtures that keep a picture of what failed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


def pytest_xdist_auto_num_workers(config):
    """One more than there are cores, at most 8: some tests do nothing but wait for other processes or a timeout."""
    return min(cores() + 1, 8)


# A file is one worker's; those that take longest go first.
LONGEST = ("test_reproduce.py", "test_sweep.py", "test_gpu.py", "test_app.py", "test_train.py", "test_gpu_checks.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
