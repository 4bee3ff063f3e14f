"""The paper's GPT-2 (Table 4), built from transformers' own classes, and its forward pass over shared prefixes.

The weights live in a plain `GPT2LMHeadModel`, so a checkpoint loads anywhere. The forward pass is written out because
rows share prefixes (see batches): each token runs through every linear layer once, packed without padding, and only
attention sees padded rows. Tests compare it with transformers' own forward, and what GPT-2 does not have
(post-normalisation, ReLU, other initial weights) with torch's nn.TransformerEncoderLayer.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Module

from helpers.gpt.batches import Batch
from helpers.settings import ModelSettings

PAPER_PARAMETERS = {32: "55 thousand", 768: "23 million", 2048: "202 million"}  # Table 6


def build(settings: ModelSettings, vocabulary_size: int, seed: int) -> Module:
    """A fresh GPT2LMHeadModel in float32 on the CPU; the same seed gives the same initial weights anywhere.

    Args:
        settings: width, depth, heads, dropout.
        vocabulary_size: task symbols plus instruction symbols; there are no special tokens.
        seed: of the initialisation; the global random state is left as it was.
    """
    from transformers import GPT2Config, GPT2LMHeadModel  # takes seconds, and who reads records builds no model

    config = GPT2Config(
        vocab_size=vocabulary_size,
        n_positions=settings.positions,
        n_embd=settings.hidden_dimension,
        n_layer=settings.number_of_layers,
        n_head=settings.number_of_heads,
        n_inner=settings.feedforward,
        resid_pdrop=settings.dropout,
        embd_pdrop=settings.dropout,
        attn_pdrop=settings.dropout,
        tie_word_embeddings=settings.tied_embeddings,
        activation_function={"gelu": "gelu_new", "relu": "relu"}[settings.activation],
        normalisation=settings.normalisation,  # ours; transformers' own forward knows pre alone
        bos_token_id=None,
        eos_token_id=None,
        use_cache=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config)
        _make_as_read(model, settings)
    return model


@torch.no_grad()
def _make_as_read(model: Module, settings: ModelSettings) -> None:
    """Apply what a reading changes in GPT-2: output layer, embeddings, positions, initial weights."""
    body = model.transformer
    if settings.normalisation == "post":
        body.ln_f = torch.nn.Identity()  # the last block has normalised already
    if settings.output_bias:
        model.lm_head.bias = torch.nn.Parameter(torch.zeros(model.config.vocab_size))
    if settings.embedding_scale != model.config.initializer_range:
        body.wte.weight.normal_(0, settings.embedding_scale)
    if settings.position_embedding == "sinusoidal":
        body.wpe.weight.copy_(_sinusoids(*body.wpe.weight.shape)).requires_grad_(False)
    if settings.linear_init == "torch":
        for block in body.h:
            _draw_as_torch(block)
        if not settings.tied_embeddings:
            _uniform(model.lm_head.weight, model.config.n_embd)


def _draw_as_torch(block) -> None:
    """Weights and biases as nn.TransformerEncoderLayer draws them; GPT-2's Conv1D has weights the other way round."""
    width = block.attn.c_attn.weight.shape[0]
    block.attn.c_attn.weight.uniform_(-1, 1).mul_(math.sqrt(6 / (4 * width)))  # Xavier, for queries, keys and values
    _uniform(block.attn.c_proj.weight, width)
    for bias in (block.attn.c_attn.bias, block.attn.c_proj.bias):
        bias.zero_()
    for linear in (block.mlp.c_fc, block.mlp.c_proj):
        _uniform(linear.weight, linear.weight.shape[0])
        _uniform(linear.bias, linear.weight.shape[0])


def _uniform(tensor: Tensor, inputs: int) -> None:
    """What nn.Linear draws for a layer of so many inputs."""
    tensor.uniform_(-1, 1).mul_(1 / math.sqrt(inputs))


def _sinusoids(positions: int, width: int) -> Tensor:
    """Sines and cosines of Vaswani et al. (2017), (positions, width)."""
    angle = torch.arange(positions)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :width]


def load_weights(model: Module, tensors: dict[str, Tensor]) -> None:
    """Copy checkpointed weights, by parameter name, into a model; tied weights appear once."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[name])


def parameter_count(settings: ModelSettings, vocabulary_size: int) -> int:
    """Trainable parameters, tied weights counted once (Table 6)."""
    with torch.device("meta"):
        return sum(p.numel() for p in build(settings, vocabulary_size, seed=0).parameters() if p.requires_grad)


class Output(NamedTuple):
    """What `forward` gives for a batch of B instructions with M inputs each, packed into N tokens."""

    hidden: Tensor  # (N, D) after the final layer norm, every token
    layers: list[Tensor]  # layers 0..n at the inputs, each (B, M, D); the last after the final norm


class HalfWeights:
    """bfloat16 copies of the blocks' weights, for fast training on a CPU.

    What `torch.autocast` does, without its fresh 140 MB each step (their page faults cost a tenth of the time):
    copies are refreshed in place, and the backward pass writes into float32 gradients that stay allocated.
    The residual stream, layer norms, embeddings and softmax stay in float32.
    """

    def __init__(self, model: Module) -> None:
        convs = [c for b in model.transformer.h for c in (b.attn.c_attn, b.attn.c_proj, b.mlp.c_fc, b.mlp.c_proj)]
        self.full = [t.detach() for c in convs for t in (c.weight, c.bias)]
        self.half = [t.to(torch.bfloat16) for t in self.full]
        self.of = {id(c): (self.half[2 * i], self.half[2 * i + 1]) for i, c in enumerate(convs)}
        held = {t.data_ptr() for t in self.full}
        self.others = [p for p in model.parameters() if p.data_ptr() not in held]
        for parameter in model.parameters():
            if parameter.data_ptr() in held:
                parameter.grad = torch.zeros_like(parameter)

    def begin_step(self) -> None:
        """Take over the optimiser's last update and forget the gradients of everything else."""
        torch._foreach_copy_(self.half, self.full)
        for parameter in self.others:
            parameter.grad = None


class _HalfLinear(torch.autograd.Function):
    """x @ weight + bias in bfloat16; the float32 gradients of weight and bias are written in place."""

    @staticmethod
    def forward(ctx, x, weight, bias, half_weight, half_bias):
        x = x.to(torch.bfloat16)
        ctx.save_for_backward(x, half_weight)
        ctx.parameters = weight, bias
        return torch.addmm(half_bias, x, half_weight)

    @staticmethod
    def backward(ctx, dy):
        x, half_weight = ctx.saved_tensors
        weight, bias = ctx.parameters
        dy = dy.to(torch.bfloat16)
        weight.grad.copy_(x.t() @ dy)
        bias.grad.copy_(dy.sum(0, dtype=torch.float32))
        return dy @ half_weight.t(), None, None, None, None


def forward(
    model: Module,
    batch: Batch,
    generator: torch.Generator | None = None,
    layers: bool = False,
    half: HalfWeights | None = None,
    edit: Callable[[int, Tensor], Tensor] | None = None,
) -> Output:
    """Run the transformer over a batch of shared-prefix rows.

    Args:
        model: its weights; dropout is applied if `model.training`.
        batch: from batches.Rows.
        generator: source of dropout masks, on the model's device; required in training mode.
        layers: also return the hidden states at the inputs, as `output_hidden_states` orders them.
        half: compute the linear layers in bfloat16 with these copies.
        edit: (layer, states at the inputs (B, M, D)) -> the states to go on with, at every layer from 0 to the last.
    """
    body = model.transformer
    p = model.config.resid_pdrop if model.training else 0.0
    heads = model.config.n_head
    post = model.config.normalisation == "post"
    activate = F.relu if model.config.activation_function == "relu" else partial(F.gelu, approximate="tanh")
    kept = []

    def hidden(layer: int, x: Tensor) -> Tensor:
        if edit is not None:
            x = x.index_put((batch.inputs,), edit(layer, x[batch.inputs]))
        if layers:
            kept.append(x[batch.inputs])
        return x

    x = _dropout(body.wte(batch.tokens) + body.wpe(batch.positions), p, generator)  # (N, D)
    for layer, block in enumerate(body.h):
        x = hidden(layer, x)
        h = _attention(block.attn, x if post else block.ln_1(x), batch, heads, p, generator, half)
        x = x + _dropout(h, p, generator)
        x = block.ln_1(x) if post else x
        h = activate(_linear(block.mlp.c_fc, x if post else block.ln_2(x), half))
        x = x + _dropout(_linear(block.mlp.c_proj, h, half), p, generator)
        x = block.ln_2(x) if post else x
    x = hidden(len(body.h), body.ln_f(x))
    return Output(x, kept)


def logits(model: Module, hidden: Tensor) -> Tensor:
    """Next-token logits (..., V) of final hidden states (..., D), in float32."""
    return F.linear(hidden, model.lm_head.weight, model.lm_head.bias).float()


def _attention(attn, x: Tensor, batch: Batch, heads: int, p: float, generator, half) -> Tensor:
    rows, length, _ = batch.mask.shape
    width = x.shape[1]
    qkv = _linear(attn.c_attn, x, half)  # (N, 3D)
    grid = qkv.new_zeros(rows * length, 3 * width).index_copy(0, batch.slots, qkv)
    q, k, v = grid.view(rows, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)  # each (B, H, S, D/H)
    scores = (q @ k.transpose(-1, -2)).float() / math.sqrt(width // heads)  # (B, H, S, S)
    weights = scores.masked_fill(~batch.mask[:, None], float("-inf")).softmax(-1).to(v.dtype)
    mixed = (_dropout(weights, p, generator) @ v).transpose(1, 2).reshape(rows * length, width)
    return _linear(attn.c_proj, mixed[batch.slots], half)


def _linear(conv, x: Tensor, half: HalfWeights | None) -> Tensor:
    """GPT-2's Conv1D, whose weights are (in, out), on x of shape (N, in)."""
    if half is not None:
        return _HalfLinear.apply(x, conv.weight, conv.bias, *half.of[id(conv)])
    return torch.addmm(conv.bias, x, conv.weight)


def _dropout(x: Tensor, p: float, generator: torch.Generator | None) -> Tensor:
    """Inverted dropout. On a CPU, masks come from 16 random bits an element: ten times faster than bernoulli_."""
    if p == 0:
        return x
    if not x.is_cpu:
        keep = torch.empty_like(x).bernoulli_(1 - p, generator=generator)
    else:
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None, generator=generator)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)  # uniform over -32768..32767
        keep = (bits >= round(p * 65536) - 32768).to(x.dtype)
    return x * keep.mul_(1 / (1 - p))
