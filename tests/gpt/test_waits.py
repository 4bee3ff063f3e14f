"""A training step never waits for a GPU, counted without one."""

import pytest
import torch
from conftest import CPU32
from waits import Waits

from helpers.gpt import batches, observe, train


@pytest.fixture
def trainer(run):
    return train._Trainer(run, CPU32)


def step(trainer) -> list[str]:
    """What waited in the third step of training."""
    rows = trainer.run.rows["train"]
    parts = batches.epoch_order(rows, trainer.settings.batch_size, 0, 1)
    made = list(batches.ahead(rows, parts[:3], torch.device("cpu")))
    for batch in made[:2]:
        trainer._step(batch, 0)
    with Waits() as waits:
        trainer._step(made[2], 2)
    return waits.found


@pytest.mark.parametrize("half", [False, True])
def test_a_step_waits_for_nothing(trainer, monkeypatch, half):
    if half:  # what CUDA's autocast does
        monkeypatch.setattr(observe, "autocast", lambda where: torch.autocast("cpu", torch.bfloat16))
    drawn = []
    real = torch.Tensor.bernoulli_
    monkeypatch.setattr(torch.Tensor, "bernoulli_", lambda *a, **k: drawn.append(1) or real(*a, **k))
    before = [p.detach().clone() for p in trainer.model.parameters()]
    assert step(trainer) == []
    assert any((a != b).any() for a, b in zip(before, trainer.model.parameters(), strict=True)), "it trains"
    assert drawn, "dropout goes a GPU's way, not the CPU's own"


SPOILED = {
    "item": lambda loss: loss.item(),
    "a truth value": lambda loss: bool(loss > 0),
    "a mask as an index": lambda loss: loss[None][loss[None] > 0],
    "nonzero": lambda loss: torch.nonzero(loss[None]),
    "masked_select": lambda loss: torch.masked_select(loss[None], loss[None] > 0),
    "unique": lambda loss: torch.unique(loss.detach()),
    "tolist": lambda loss: loss.detach().tolist(),
    "cpu": lambda loss: loss.cpu(),
    "numpy": lambda loss: loss.detach().numpy(),
    "to another device": lambda loss: loss.to("cpu"),
    "a tensor from a number": lambda loss: torch.tensor(0.0, device=loss.device),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_whatever_waits_is_counted(trainer, monkeypatch, spoil):
    real = train.losses

    def spoiled(logits, batch):
        found = real(logits, batch)
        spoil(found[0])
        return found

    monkeypatch.setattr(train, "losses", spoiled)
    assert step(trainer)


def test_an_epoch_waits_once_for_its_loss(trainer):
    with Waits() as waits:
        trainer._pass(1)
    assert waits.found == ["tolist"]


def test_observing_waits_once_for_all_states_and_answers(run):
    net = run.model("last")
    with Waits() as waits:
        observe.observe(net, run.rows["train"], CPU32)
    assert sorted(waits.found) == ["cpu", "cpu", "numpy", "numpy"]
