"""Checks of a GPU before its results count: the CPU's numbers in float32, and the same bits after a kill.

Differences, each the largest that is found:

    loss                 of one batch, relative
    gradients            of one batch: norm of a parameter's difference, relative to the norm of its gradient (or to a
                         hundredth of that of all gradients, where its own is smaller, as for the keys' biases: zero but
                         for rounding)
    states               norm of a layer's difference, relative to the norm of its states
    neighbour distances  relative to the layer's mean distance
    other neighbours     share of the neighbours that are not among the CPU's, from layer 1 on; at layer 0 many training
                         states are one, and which of them come first is left to rounding

The tolerances lie far above what rounding gives, and below what TF32 gives; tests say so for a small model.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file

from helpers import store
from helpers.device import Device, choose
from helpers.errors import Failed, exit_status
from helpers.gpt import batches, records, runs, train
from helpers.gpt import model as gpt
from helpers.profiles import resolve
from helpers.settings import RunSettings
from helpers.tables import SPLITS
from helpers.task import synthetic

TOLERANCES = {
    "loss": 1e-5,
    "gradients": 2e-5,
    "states": 2e-5,
    "neighbour distances": 2e-5,
    "other neighbours": 1e-2,
    "replayed weights": 0.0,
    "weights, records and history": 0.0,
}
STEPS = 12
PATIENCE = 300  # seconds that a small run may take to its next epoch


class CheckFailed(Failed):
    """A check that could not be made; the message says why."""


class _Found(NamedTuple):
    """What one device gives."""

    loss: float
    gradients: dict[str, torch.Tensor]
    record: records.EpochRecord


def agreement(settings: RunSettings, device: torch.device) -> dict[str, float]:
    """How far a device's float32 lies from the CPU's, for an untrained model without dropout.

    Args:
        settings: data set, model, batch size and neighbours.

    Returns:
        Quantity -> difference, as described above.
    """
    dataset = synthetic.generate(settings.data)
    rows = batches.train_and_evaluation_rows(dataset)
    with _full_float32():
        theirs, ours = (
            _on(settings, rows, len(dataset.vocabulary), Device(torch.device(d), "float32", "a check"))
            for d in ("cpu", device)
        )
    return {
        "loss": abs(ours.loss - theirs.loss) / abs(theirs.loss),
        "gradients": _of_gradients(ours.gradients, theirs.gradients),
        **_of_records(ours.record, theirs.record),
    }


@contextlib.contextmanager
def _full_float32() -> Iterator[None]:
    """No TF32 meanwhile."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _on(settings: RunSettings, rows: dict[str, batches.Rows], vocabulary: int, where: Device) -> _Found:
    model_settings = settings.model.model_copy(update={"dropout": 0.0})
    model = gpt.build(model_settings, vocabulary, settings.training.init_seed).to(where.device).train()
    first = batches.epoch_order(rows["train"], settings.training.batch_size, settings.training.order_seed, 1)[:1]
    (batch,) = batches.ahead(rows["train"], first, where.device)
    hidden = gpt.forward(model, batch).hidden
    loss, _ = train.losses(gpt.logits(model, hidden[batch.predictors]), batch)
    loss.backward()
    gradients = {name: p.grad.double().cpu() for name, p in model.named_parameters() if p.grad is not None}
    return _Found(loss.item(), gradients, records.record(model, rows, settings.training.neighbours, vocabulary, where))


def _of_gradients(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    least = 0.01 * float(torch.stack([g.norm() for g in theirs.values()]).norm())
    return max(float((ours[n] - g).norm() / max(float(g.norm()), least)) for n, g in theirs.items())


def _of_records(ours: records.EpochRecord, theirs: records.EpochRecord) -> dict[str, float]:
    states, distances, others = [], [], []
    for split in SPLITS:
        a, b = ours.states(split), theirs.states(split)
        states += [np.linalg.norm(x - y) / np.linalg.norm(y) for x, y in zip(a, b, strict=True)]
        near, far = ours.neighbours[split], theirs.neighbours[split]
        distances += [np.abs(x - y).max() / y.mean() for x, y in zip(near.distance, far.distance, strict=True)]
        above = (found.index[1:].reshape(-1, found.index.shape[-1]) for found in (near, far))
        others += [1 - len(np.intersect1d(x, y)) / len(y) for x, y in zip(*above, strict=True)]
    return {
        "states": float(max(states)),
        "neighbour distances": float(max(distances)),
        "other neighbours": float(np.mean(others)),
    }


def replays(settings: RunSettings, device: torch.device) -> dict[str, float]:
    """How far training by CUDA graphs lies from the same steps launched one by one, dropout included.

    Args:
        settings: data set, model and training.

    Returns:
        Quantity -> difference, as described above.
    """
    run = runs.Run(settings, synthetic.generate(settings.data), Path("of no use"))
    made = [train._Trainer(run, choose("auto", settings.model.hidden_dimension, str(device))) for _ in range(2)]
    made[1].graphs = None
    rows, s = run.rows["train"], settings.training
    order = batches.epoch_order(rows, s.batch_size, s.order_seed, 1)[:STEPS]
    for trainer in made:
        trainer.generator.manual_seed(0)
        for step, batch in enumerate(batches.ahead(rows, order, device, fixed=True)):
            trainer._step(batch, step)
    pairs = zip(*(trainer.model.parameters() for trainer in made), strict=True)
    return {"replayed weights": max(float((a - b).detach().abs().max()) for a, b in pairs)}


def resumption(overrides: str, kills: int = 3, seed: int | None = None) -> dict[str, float]:
    """A small run in processes that are killed at random moments, against one that is not.

    Args:
        overrides: of the smoke profile; the device among them.
        kills: how often; fewer than its epochs.
        seed: of the moments; by the clock if None.

    Returns:
        Quantity -> largest difference of weights, infinite where records or history differ, or epochs are missing.

    Raises:
        CheckFailed: the run fails by itself, or ended before it could be killed.
    """
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        straight, killed = Path(folder) / "straight", Path(folder) / "killed"
        _finish(_begin(straight, overrides))
        history = _progress(straight)["history"]
        moments = sorted(rng.choice(len(history) - 2, kills, replace=False))
        for epoch in moments:
            _kill(_begin(killed, overrides), killed, int(epoch), float(rng.uniform(0, history[-1]["seconds"])))
        _finish(_begin(killed, overrides))
        print(f"killed {kills} times, after epochs {', '.join(map(str, moments))}, and begun again", flush=True)
        return {"weights, records and history": _difference(straight, killed)}


def _begin(root: Path, overrides: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "helpers.running.gpu_checks", overrides]
    environment = os.environ | {"CLM_ROOT": str(root), "TQDM_DISABLE": "1"}
    return subprocess.Popen(
        command, cwd=store.REPOSITORY, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def _finish(process: subprocess.Popen) -> None:
    _, said = process.communicate(timeout=4 * PATIENCE)
    if process.returncode:
        raise CheckFailed(f"the small run failed: {said.strip().splitlines()[-1] if said.strip() else 'killed'}")


def _kill(process: subprocess.Popen, root: Path, epoch: int, delay: float) -> None:
    """SIGKILL a process some seconds after it has reached an epoch."""
    deadline = time.monotonic() + PATIENCE
    try:
        while (_progress(root) or {"epoch": -1})["epoch"] < epoch:
            if process.poll() is not None or time.monotonic() > deadline:
                raise CheckFailed(f"the small run did not reach epoch {epoch}: it ended, or was too slow")
            time.sleep(0.002)
        time.sleep(delay)
        if process.poll() is not None:
            raise CheckFailed("the small run ended before it could be killed")
    finally:
        process.kill()
        process.communicate()


def _progress(root: Path) -> dict | None:
    found = list(root.glob("data/runs/*/progress.json"))
    return json.loads(found[0].read_text()) if found else None


def _difference(straight: Path, killed: Path) -> float:
    a, b = _progress(straight), _progress(killed)
    for progress in (a, b):
        for row in progress["history"]:
            del row["seconds"]
    if any(a[name] != b[name] for name in ("epoch", "history", "logged")):
        return float("inf")
    found = []
    for which in ("last", "best"):
        pairs = ((straight, a), (killed, b))
        x, y = (load_file(next(root.glob(f"data/runs/*/{said[which]['file']}"))) for root, said in pairs)
        found += [float((x[name].double() - y[name].double()).abs().max()) for name in x]
    return max(found)


def _train(overrides: str) -> None:
    settings = resolve("smoke", overrides).runs()[0]
    train.train(settings, synthetic.generate(settings.data))


def main(arguments: list[str] | None = None) -> int:
    """Command line: trains the first run of the smoke profile with the overrides given (what `resumption` kills)."""
    parser = argparse.ArgumentParser(prog="python -m helpers.running.gpu_checks", description=main.__doc__)
    parser.add_argument("overrides", help="as make SET takes them")
    given = parser.parse_args(arguments)
    return exit_status(lambda: _train(given.overrides))


if __name__ == "__main__":
    sys.exit(main())
