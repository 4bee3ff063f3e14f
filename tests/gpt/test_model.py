from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import CPU32
from plain_rows import plain_rows

from helpers.device import Device
from helpers.gpt import model, records
from helpers.settings import ModelSettings


@pytest.mark.parametrize(
    ("width", "exact", "printed"), [(32, 55_296, "55"), (768, 23_737_344, "23"), (2048, 201_719_808, "202")]
)
def test_parameter_counts_are_table_6s(width, exact, printed):
    count = model.parameter_count(ModelSettings(hidden_dimension=width), 60)
    assert count == exact
    paper = {"thousand": 1e3, "million": 1e6}[model.PAPER_PARAMETERS[width].split()[1]]
    assert model.PAPER_PARAMETERS[width].split()[0] == printed
    assert abs(count / paper - int(printed)) < 1


def test_initialisation_is_fixed_by_its_seed_and_leaves_the_global_state(settings):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two, other = (model.build(settings.model, 60, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.transformer.wte.weight, other.transformer.wte.weight)


def test_forward_equals_transformers_own(run, dataset):
    net = run.model("last")
    rows = run.rows["validation"]
    chosen = [0, 5, 11, 2]
    batch = rows.batch(torch.tensor(chosen).numpy())
    with torch.no_grad():
        ours = model.forward(net, batch, layers=True)
        tokens, attention, at_input = plain_rows(rows, chosen)
        theirs = net(tokens, attention_mask=attention, output_hidden_states=True)
    for layer, hidden in enumerate(theirs.hidden_states):
        picked = hidden[torch.arange(len(tokens)), at_input]
        torch.testing.assert_close(ours.layers[layer].flatten(0, 1), picked, rtol=1e-4, atol=1e-5)
    logits = model.logits(net, ours.hidden[batch.inputs]).flatten(0, 1)
    torch.testing.assert_close(logits, theirs.logits[torch.arange(len(tokens)), at_input], rtol=1e-4, atol=1e-5)


def test_bfloat16_forward_is_close_and_gradients_follow(run):
    net = run.model("last").train()
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    net.config.resid_pdrop = 0.0
    batch = run.rows["train"].batch(torch.arange(8).numpy())

    def gradients(half):
        if half:
            half.begin_step()
        output = model.forward(net, batch, torch.Generator(), half=half)
        model.logits(net, output.hidden[batch.predictors]).logsumexp(-1).sum().backward()
        return torch.cat([p.grad.flatten() for p in net.parameters()])

    exact = gradients(None).clone()
    net.zero_grad(set_to_none=True)
    half = model.HalfWeights(net)
    rounded = gradients(half)
    again = gradients(half)  # nothing may accumulate from one step to the next
    assert torch.nn.functional.cosine_similarity(exact, rounded, dim=0) > 0.999
    torch.testing.assert_close(rounded, again)


def test_half_weights_follow_the_optimiser(run):
    net = run.model("last")
    half = model.HalfWeights(net)
    with torch.no_grad():
        net.transformer.h[0].mlp.c_fc.weight.add_(1.0)
    half.begin_step()
    copy = half.of[id(net.transformer.h[0].mlp.c_fc)][0]
    torch.testing.assert_close(copy, net.transformer.h[0].mlp.c_fc.weight.to(torch.bfloat16))


def test_dropout_keeps_the_right_share_and_the_mean():
    x = torch.ones(400, 500)
    dropped = model._dropout(x, 0.2, torch.Generator().manual_seed(0))
    assert (dropped == 0).float().mean().item() == pytest.approx(0.2, abs=0.005)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)
    assert set(dropped.unique().tolist()) == {0.0, 1.25}
    same = model._dropout(x, 0.2, torch.Generator().manual_seed(0))
    assert torch.equal(dropped, same)


def test_observing_in_bfloat16_stays_close_to_float32(run):
    net = run.model("last")
    exact = records.observe(net, run.rows["validation"], CPU32)
    where = Device(torch.device("cpu"), "bfloat16", "test")
    rounded = records.observe(net, run.rows["validation"], where, model.HalfWeights(net))
    scale = abs(exact.states).max()
    assert abs(exact.states - rounded.states).max() < 0.03 * scale


def test_post_normalisation_is_torchs_encoder_layer(settings, dataset, run):
    chosen = settings.model.model_copy(update={"hidden_dimension": 16, "normalisation": "post", "dropout": 0.0})
    net = model.build(chosen, len(dataset.vocabulary), 0).eval()
    batch = run.rows["validation"].batch(torch.tensor([3, 1]).numpy())
    ours = model.forward(net, batch, layers=True)
    layer = torch.nn.TransformerEncoderLayer(
        16, net.config.n_head, net.config.n_inner, 0.0, partial(F.gelu, approximate="tanh"), batch_first=True
    ).eval()
    tokens, _, at_input = plain_rows(run.rows["validation"], [3, 1])
    x = net.transformer.wte(tokens) + net.transformer.wpe(torch.arange(tokens.shape[1]))
    causal = torch.nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
    with torch.no_grad():
        for number, block in enumerate(net.transformer.h):
            picked = x[torch.arange(len(tokens)), at_input]
            torch.testing.assert_close(ours.layers[number].flatten(0, 1), picked, rtol=1e-4, atol=1e-5)
            layer.self_attn.in_proj_weight.copy_(block.attn.c_attn.weight.t())
            layer.self_attn.in_proj_bias.copy_(block.attn.c_attn.bias)
            for theirs, conv in (
                (layer.self_attn.out_proj, block.attn.c_proj),
                (layer.linear1, block.mlp.c_fc),
                (layer.linear2, block.mlp.c_proj),
            ):
                theirs.weight.copy_(conv.weight.t())
                theirs.bias.copy_(conv.bias)
            layer.norm1.load_state_dict(block.ln_1.state_dict())
            layer.norm2.load_state_dict(block.ln_2.state_dict())
            x = layer(x, src_mask=causal, is_causal=True)
        picked = x[torch.arange(len(tokens)), at_input]
    torch.testing.assert_close(ours.layers[-1].flatten(0, 1), picked, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_edited_states_go_on_as_they_do_in_transformers(run, layer):
    net = run.model("last")
    chosen = [0, 5, 11]
    batch = run.rows["validation"].batch(torch.tensor(chosen).numpy())
    shift = torch.randn(16, generator=torch.Generator().manual_seed(1))
    tokens, attention, at_input = plain_rows(run.rows["validation"], chosen)
    place = torch.arange(len(tokens)), at_input

    def move(module, arguments):
        x = arguments[0].clone()
        x[place] += shift
        return (x, *arguments[1:])

    target = [*net.transformer.h, net.lm_head][layer]
    with torch.no_grad():
        ours = model.forward(net, batch, edit=lambda n, x: x + shift if n == layer else x)
        hook = target.register_forward_pre_hook(move)
        theirs = net(tokens, attention_mask=attention).logits[place]
        hook.remove()
        plain = net(tokens, attention_mask=attention).logits[place]
    logits = model.logits(net, ours.hidden[batch.inputs]).flatten(0, 1)
    torch.testing.assert_close(logits, theirs, rtol=1e-4, atol=1e-4)
    assert (logits - plain).abs().max() > 0.1


def test_initial_weights_are_those_that_the_reading_names(settings):
    """GPT-2's by default; else torch's own, compared with its modules by their spread."""
    base = settings.model.model_copy(update={"hidden_dimension": 64})
    gpt2 = model.build(base, 60, 0).transformer
    assert gpt2.wte.weight.std().item() == pytest.approx(0.02, rel=0.05)
    read = {"embedding_scale": 1.0, "linear_init": "torch", "tied_embeddings": False, "normalisation": "post"}
    net = model.build(base.model_copy(update=read), 60, 0)
    layer = torch.nn.TransformerEncoderLayer(64, net.config.n_head, net.config.n_inner)
    block = net.transformer.h[0]
    assert net.transformer.wte.weight.std().item() == pytest.approx(1, rel=0.05)
    for ours, theirs in (
        (block.attn.c_attn.weight, layer.self_attn.in_proj_weight),
        (block.attn.c_proj.weight, layer.self_attn.out_proj.weight),
        (block.mlp.c_fc.weight, layer.linear1.weight),
        (block.mlp.c_proj.weight, layer.linear2.weight),
        (block.mlp.c_fc.bias, layer.linear1.bias),
        (net.lm_head.weight, torch.nn.Linear(64, 60).weight),
    ):
        assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.15)
        assert ours.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=0.1)
    assert block.attn.c_attn.bias.abs().max() == block.attn.c_proj.bias.abs().max() == 0


def test_table_6_fits_two_readings():
    tutorial = {"position_embedding": "sinusoidal", "tied_embeddings": False, "output_bias": True}
    for width, gpt2, other in ((32, 55_296, 55_164), (768, 23_737_344, 23_732_796), (2048, 201_719_808, 201_707_580)):
        settings = ModelSettings(hidden_dimension=width)
        assert model.parameter_count(settings, 60) == gpt2
        read = settings.model_copy(update={**tutorial, "normalisation": "post"})
        assert model.parameter_count(read, 60) == other


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_other_readings_before_normalisation_are_transformers_own_forward(settings, dataset, run, activation):
    read = {"position_embedding": "sinusoidal", "tied_embeddings": False, "output_bias": True, "dropout": 0.0}
    chosen = settings.model.model_copy(update={"hidden_dimension": 16, "activation": activation, **read})
    net = model.build(chosen, len(dataset.vocabulary), 0).eval()
    batch = run.rows["validation"].batch(np.array([3, 1]))
    tokens, attention, at_input = plain_rows(run.rows["validation"], [3, 1])
    with torch.no_grad():
        ours = model.logits(net, model.forward(net, batch).hidden[batch.inputs]).flatten(0, 1)
        theirs = net(tokens, attention_mask=attention).logits[torch.arange(len(tokens)), at_input]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert not net.transformer.wpe.weight.requires_grad, "sinusoids are not learned"
