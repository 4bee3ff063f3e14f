import numpy as np
import pandas as pd
import pytest
import torch
from plain_rows import plain_rows

from helpers.gpt import batches, model, train


def no_dropout(run):
    net = run.model("last").train()
    net.config.resid_pdrop = 0.0
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return net


def gradients(net):
    found = {name: p.grad.clone() for name, p in net.named_parameters()}
    net.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("outputs_only", [False, True])
def test_shared_prefixes_give_the_loss_and_gradients_of_one_row_an_instance(run, outputs_only):
    net = no_dropout(run)
    rows = run.rows["train"]
    chosen = np.array([3, 40, 7, 100, 268 % len(rows)])
    batch = rows.batch(chosen)
    output = model.forward(net, batch, torch.Generator())
    whole, outputs = train.losses(model.logits(net, output.hidden[batch.predictors]), batch)
    loss = outputs if outputs_only else whole
    loss.backward()
    ours = gradients(net)

    tokens, attention, at_input = plain_rows(rows, chosen)
    labels = tokens.masked_fill(attention == 0, -100)
    if outputs_only:
        labels[torch.arange(labels.shape[1])[None] != at_input[:, None] + 1] = -100
    theirs_loss = net(tokens, attention_mask=attention, labels=labels).loss
    theirs_loss.backward()
    assert loss.item() == pytest.approx(theirs_loss.item(), rel=1e-5)
    for name, theirs in gradients(net).items():
        difference = (ours[name] - theirs).norm() / theirs.norm()
        assert difference < 1e-5, name


def test_padding_to_few_shapes_changes_neither_losses_nor_gradients(run):
    net, rows = no_dropout(run), run.rows["train"]
    parts = batches.epoch_order(rows, 16 * rows.inputs.shape[1], 0, 1)
    shapes = {}
    for n, (part,) in enumerate(parts):
        batch, fixed = rows.batch(part), rows.batch(part, fixed=True)
        shapes.setdefault((len(part), len(fixed.tokens)), set()).add(tuple(t.shape for t in fixed))
        if n % 4:
            continue
        found = []
        for one in (batch, fixed):
            hidden = model.forward(net, one, torch.Generator()).hidden
            losses = torch.stack(train.losses(model.logits(net, hidden[one.predictors]), one))
            losses.sum().backward()
            found.append((losses.detach(), gradients(net)))
        torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=0)
        for name, expected in found[0][1].items():
            assert (found[1][1][name] - expected).norm() <= 1e-5 * expected.norm(), name
    assert all(len(of_one) == 1 for of_one in shapes.values()), "shapes follow from instructions and tokens"
    assert len(shapes) < len(parts) / 2


def test_packing_covers_each_token_once_and_pads_to_few_shapes(run):
    rows = run.rows["train"]
    m = rows.inputs.shape[1]
    for (part,) in batches.epoch_order(rows, 16 * m, 0, 1):
        batch = rows.batch(part)
        used = int((rows.lengths[part] + m).sum())
        assert len(batch.tokens) % batches.TOKEN_STEP == 0
        assert len(batch.tokens) - used < batches.TOKEN_STEP
        assert len(set(batch.slots.tolist())) == len(batch.slots)
        assert batch.weights.sum() == m * (rows.lengths[part] + 1).sum()  # predictions of M plain rows
        assert torch.equal(batch.tokens[batch.inputs], torch.from_numpy(rows.inputs[part]))
        assert torch.equal(batch.targets[-len(part) * m :], torch.from_numpy(rows.outputs[part]).ravel())


def test_an_input_sees_the_instruction_and_itself_alone():
    mask = batches._mask(8, 4)
    assert mask[5].tolist() == [True, True, True, True, False, True, False, False]
    assert mask[2].tolist() == [True, True, True] + [False] * 5


@pytest.mark.parametrize("whole", [True, False])
def test_an_epoch_takes_every_instance_once_in_an_order_fixed_by_seed_and_epoch(run, whole):
    rows = run.rows["train"]
    count, m = rows.inputs.shape
    order = batches.epoch_order(rows, 16 * m, 1, 3, whole)
    made = [rows.batch(*part) for part in order]
    assert [b.outputs.numel() for b in made] == [16 * m] * (count // 16) + ([count % 16 * m] if count % 16 else [])
    taken = np.concatenate([rows.instance[p[0]].ravel() if whole else rows.instance[p[0], p[1][:, 0]] for p in order])
    assert sorted(taken) == list(range(count * m))
    same, other = batches.epoch_order(rows, 16 * m, 1, 3, whole), batches.epoch_order(rows, 16 * m, 1, 4, whole)
    assert all((a[0] == b[0]).all() for a, b in zip(order, same, strict=True))
    assert any((a[0] != b[0]).any() for a, b in zip(order, other, strict=True))


@pytest.mark.parametrize("outputs_only", [False, True])
def test_instances_of_their_own_give_the_loss_and_gradients_of_shared_rows(run, outputs_only):
    """The same instances, shuffled one by one and as whole instructions: sharing a prefix changes nothing."""
    net, rows = no_dropout(run), run.rows["train"]
    chosen, m = np.array([3, 40, 7]), rows.inputs.shape[1]
    pairs = np.random.default_rng(0).permutation(len(chosen) * m)
    found = []
    for part in ((chosen,), (chosen[pairs // m], (pairs % m)[:, None])):
        batch = rows.batch(*part)
        hidden = model.forward(net, batch, torch.Generator()).hidden
        loss = train.losses(model.logits(net, hidden[batch.predictors]), batch)[int(outputs_only)]
        loss.backward()
        found.append((loss.item(), gradients(net)))
    (shared, ours), (alone, theirs) = found
    assert shared == pytest.approx(alone, rel=1e-5)
    assert all((ours[name] - theirs[name]).norm() / theirs[name].norm() < 1e-5 for name in ours)


def test_instructions_with_different_numbers_of_inputs_are_refused(dataset):
    frame = dataset.split("validation").iloc[:-1]
    with pytest.raises(ValueError, match="same number of inputs"):
        batches.Rows(frame, dataset.number)


def test_the_batch_of_the_docstring():
    """Instruction ab, inputs X and Y, outputs P and Q: tokens, positions, what attends to what, predictions."""
    number = dict(zip("abXYPQ", range(6), strict=True))
    frame = pd.DataFrame({"instruction_id": 0, "instruction": "ab", "input": ["X", "Y"], "output": ["P", "Q"]})
    batch = batches.Rows(frame, number).batch(np.array([0]))
    assert batch.tokens[:4].tolist() == [number[s] for s in "abXY"]
    assert batch.positions[:4].tolist() == [0, 1, 2, 2]
    seen = batch.mask[0][:4, :4].int().tolist()
    assert seen == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]
    found = zip(batch.predictors.tolist(), batch.targets.tolist(), batch.weights.tolist(), strict=True)
    assert sorted(found) == [(0, 1, 2.0), (1, 2, 1.0), (1, 3, 1.0), (2, 4, 1.0), (3, 5, 1.0)]


@pytest.mark.parametrize("whole", [True, False])
def test_batches_moved_together_are_the_same_batches(run, whole, monkeypatch):
    """What a GPU is given; here by way of another device's name, in copies of five batches."""
    monkeypatch.setattr(batches, "TOGETHER", 5)
    rows = run.rows["train"]
    parts = batches.epoch_order(rows, 16 * rows.inputs.shape[1], 1, 3, whole)
    assert len(parts) > 5
    assert len(parts) % 5
    one_by_one = list(batches.ahead(rows, parts, torch.device("cpu")))
    for start in range(0, len(parts), 5):
        together = batches.moved(one_by_one[start : start + 5], torch.device("cpu"))
        for ours, theirs in zip(together, one_by_one[start : start + 5], strict=True):
            assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(ours, theirs, strict=True))
    shapes = [[t.shape for t in batch] for batch in batches.ahead(rows, parts, torch.device("meta"))]
    assert shapes == [[t.shape for t in batch] for batch in one_by_one]
